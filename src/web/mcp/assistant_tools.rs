//! The server of the protocol: what it can do.

use axum::http::request::Parts;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CustomRequest, CustomResult, ErrorCode, Implementation,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};

use super::caller::Caller;
use super::content::tool_error;
use super::drawing::Progress;
use super::running_calls::RunningCalls;
use super::{draw, models, resources, tokenize, tool_list};
use crate::request::shorten;
use crate::web::state::AppState;

const INSTRUCTIONS: &str = "Draws small pictures with a Recurrent Diffusion Probabilistic Model. Call list_models first: models \
    know classes, and some know words and drawing styles. The same seed and arguments give the same picture. To change a \
    picture, call edit with its address.";

/// Requests with arguments. One that reaches [`ServerHandler::on_custom_request`] has other ones than the protocol says.
const METHODS: [&str; 6] = [
    "initialize",
    "tools/call",
    "tools/list",
    "resources/read",
    "resources/list",
    "resources/templates/list",
];

/// The tools and pictures for assistants: a server of the Model Context Protocol, to be given a transport. Cheap to clone.
#[derive(Clone)]
pub struct AssistantTools {
    app: AppState,
    running: RunningCalls,
    /// The caller of all messages, where they don't come over HTTP.
    local: Option<Caller>,
}

impl AssistantTools {
    /// For the program that started this one.
    pub(in crate::web) fn local(app: AppState) -> Self {
        Self { app, running: RunningCalls::default(), local: Some(Caller::local()) }
    }

    /// For clients over HTTP. Each request must have its [`Caller`] as an extension.
    pub(super) fn remote(app: AppState, running: RunningCalls) -> Self {
        Self { app, running, local: None }
    }

    fn caller(&self, context: &RequestContext<RoleServer>) -> Result<Caller, ErrorData> {
        let remote = || context.extensions.get::<Parts>()?.extensions.get::<Caller>().cloned();
        self.local
            .clone()
            .or_else(remote)
            .ok_or_else(|| ErrorData::internal_error("The caller is unknown.", None))
    }
}

impl ServerHandler for AssistantTools {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_resources().build();
        let server = Implementation::new("rdpm", env!("CARGO_PKG_VERSION")).with_title("RDPM");
        ServerConfig::new(capabilities).with_server_info(server).with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tool_list::tools(self.app.engine.models())))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let caller = self.caller(&context)?;
        let (app, arguments) = (&self.app, request.arguments.unwrap_or_default());
        let token = context.meta.get_progress_token();
        let progress = token.map(|token| Progress { peer: context.peer.clone(), token });
        let mut running = self.running.begin(&caller, &context.id);
        let call = async {
            match &*request.name {
                "draw" => Ok(draw::draw(app, &caller, arguments, progress).await),
                "edit" => Ok(draw::edit(app, &caller, arguments, progress).await),
                "caption" => Ok(tokenize::caption(app, &caller, arguments).await),
                "tokenize" => Ok(tokenize::tokenize(app, &caller, arguments).await),
                "list_models" => Ok(models::list_models(app.engine.models(), &arguments)),
                "list_styles" => Ok(models::list_styles(app.engine.models(), &arguments)),
                other => {
                    let message = format!("There is no tool {}.", shorten(other));
                    Err(ErrorData::invalid_params(message, None))
                }
            }
        };
        // Dropping the call cancels its job.
        let result = tokio::select! {
            result = call => result?,
            () = running.canceled() => return Err(canceled()),
            () = context.ct.cancelled() => return Err(canceled()),
        };
        Ok(result.unwrap_or_else(|problem| tool_error(&problem)).into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        resources::list(&self.app, &self.caller(&context)?).await
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(resources::templates())
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let caller = self.caller(&context)?;
        Ok(resources::read(&self.app, &caller, &request.uri).await?.into())
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let method = shorten(&request.method);
        if METHODS.contains(&&*request.method) {
            let message = format!("The parameters of {method} are not those of the protocol.");
            return Err(ErrorData::invalid_params(message, None));
        }
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, format!("There is no method {method}."), None))
    }
}

/// The answer to a call that was canceled, which nobody waits for.
fn canceled() -> ErrorData {
    ErrorData::internal_error("The call was canceled.", None)
}

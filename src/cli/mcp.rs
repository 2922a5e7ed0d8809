//! `rdpm mcp`: the Model Context Protocol on standard input and output, for assistants that start their tools as programs.
//!
//! Nothing else is written to standard output.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use rdpm::engine::{Engine, FolderLoader, Options};
use rdpm::model::ModelInfo;
use rdpm::web::{self, AssistantTools};
use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;
use rmcp::transport::stdio;

use super::models::ModelArguments;

#[derive(Debug, Args)]
pub struct Mcp {
    #[command(flatten)]
    model: ModelArguments,
}

impl Mcp {
    pub fn run(self) -> anyhow::Result<()> {
        let engine = Arc::new(self.engine()?);
        let runtime = tokio::runtime::Runtime::new().context("no thread for the tools")?;
        let served = runtime.block_on(serve(web::assistant_tools(Arc::clone(&engine))));
        engine.shutdown(Duration::ZERO);
        runtime.shutdown_background();
        served
    }

    /// An engine that loads each model with its first picture, so that the tools are there at once.
    fn engine(&self) -> anyhow::Result<Engine> {
        let devices: Vec<String> = self.model.device.split(',').map(|name| name.trim().to_owned()).collect();
        let chosen = self.model.choose()?.keep(|folder, _| {
            let computation = self.model.computation_on(folder, &devices)?;
            Ok(ModelInfo::read_with(folder, computation)?)
        })?;
        let folders: Vec<_> =
            chosen.models.iter().map(|(folder, info)| (info.config.name.clone(), folder.clone())).collect();
        let infos: Vec<ModelInfo> = chosen.models.into_iter().map(|(_, info)| info).collect();
        let load_on = |device: &String| {
            let computations = infos.iter().map(|info| (info.config.name.clone(), info.computation));
            FolderLoader::new(folders.clone(), device).with_computations(computations)
        };
        let loaders = devices.iter().map(load_on).collect();
        let options = Options { loading: rdpm::engine::ModelLoading::Lazy, ..Options::default() };
        Ok(Engine::start(options, infos, loaders)?)
    }
}

/// Answers until standard input ends.
async fn serve(tools: AssistantTools) -> anyhow::Result<()> {
    match tools.serve(stdio()).await {
        Ok(service) => {
            service.waiting().await.context("the tools ended")?;
        }
        // Nobody has asked for anything.
        Err(ServerInitializeError::ConnectionClosed(_)) => {}
        Err(error) => return Err(error).context("the assistant doesn't speak the Model Context Protocol"),
    }
    Ok(())
}

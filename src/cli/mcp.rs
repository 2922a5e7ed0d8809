//! `rdpm mcp`: the Model Context Protocol on standard input and output, for assistants that start their tools as programs.
//!
//! Nothing else is written to standard output.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use rdpm::engine::{Engine, ModelLoading, Options};
use rdpm::web::{self, AssistantTools};
use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;
use rmcp::transport::stdio;

use super::models::ModelArguments;
use super::starting::start_engine;

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
        let options = Options { loading: ModelLoading::Lazy, ..Options::default() };
        Ok(start_engine(&self.model, options)?.0)
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

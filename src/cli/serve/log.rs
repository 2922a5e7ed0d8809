//! The log: lines on standard error, for people or for programs; and traces.

use std::io::IsTerminal;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::Serialize;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use super::traces::{self, Traces};

#[derive(Debug, Args, Serialize)]
#[command(next_help_heading = "Log")]
pub struct LogArguments {
    /// What to log, in tracing's filter syntax, e.g. `debug` or `warn,rdpm=debug`.
    #[arg(long, env = "RDPM_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    /// Format of a log line.
    #[arg(long, env = "RDPM_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    log_format: Format,
    /// OpenTelemetry collector that receives traces over OTLP/HTTP, as in http://localhost:4318. Needs a program built
    /// with `--features otlp`.
    #[arg(long, env = "RDPM_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
}

/// Lines for people, or one JSON object a line.
#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Format {
    Text,
    Json,
}

impl LogArguments {
    /// Checks everything that [`start`](Self::start) needs.
    pub fn check(&self) -> anyhow::Result<()> {
        self.filter()?;
        traces::start::<Registry>(self.otlp_endpoint.as_deref())?;
        Ok(())
    }

    fn filter(&self) -> anyhow::Result<EnvFilter> {
        // The crate of the Model Context Protocol logs each message; the access log has what is needed of it. That of HTTP requests
        // can log their headers, which may contain a password, so the user's filter does not change its level.
        EnvFilter::try_new(format!("rmcp=error,{},ureq_proto=off,ureq_proto::util=off", self.log))
            .with_context(|| format!("log filter {:?}", self.log))
    }

    /// Starts to log, and to send traces until the returned value is dropped.
    pub fn start(&self) -> anyhow::Result<Traces> {
        // A log that can't be written must not end the thread that logs: reporting that panics too.
        let lines = fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
        let lines = match self.log_format {
            Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
            Format::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
        };
        let (sender, traces) = traces::start(self.otlp_endpoint.as_deref())?;
        tracing_subscriber::registry().with(self.filter()?).with(lines).with(sender).init();
        Ok(traces)
    }
}

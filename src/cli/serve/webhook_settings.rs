//! The settings of web hooks.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use rdpm::web::{WebhookHost, WebhookNetwork, WebhookOptions, WebhookSecret};
use serde::Serialize;

/// To whom web hooks are sent.
#[derive(Debug, Args, Serialize)]
#[command(next_help_heading = "Web hooks")]
pub struct WebhookArguments {
    /// Hosts that requests may name as `webhook`, separated by commas, as in hooks.example.org,*.example.com. Without any, there are
    /// no web hooks.
    #[arg(long, env = "RDPM_WEBHOOK_HOSTS", value_name = "HOSTS", value_delimiter = ',')]
    webhook_hosts: Vec<WebhookHost>,
    /// Networks to which web hooks may go although they aren't public, separated by commas, as in 10.1.0.0/16. To these only, web
    /// hooks may go without TLS.
    #[arg(long, env = "RDPM_WEBHOOK_NETWORKS", value_name = "NETWORKS", value_delimiter = ',')]
    webhook_networks: Vec<WebhookNetwork>,
    /// File with the secret that signs web hooks: whsec_ and 24 to 64 bytes in base64. Of several, one a line, each signs.
    #[arg(long, env = "RDPM_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    webhook_secret_file: Option<PathBuf>,
}

impl WebhookArguments {
    /// The options, if the settings name hosts. Errors don't contain the secrets.
    pub fn options(&self) -> anyhow::Result<Option<WebhookOptions>> {
        if self.webhook_hosts.is_empty() {
            let is_unused = self.webhook_networks.is_empty() && self.webhook_secret_file.is_none();
            anyhow::ensure!(is_unused, "--webhook-networks and --webhook-secret-file need --webhook-hosts");
            return Ok(None);
        }
        let path =
            self.webhook_secret_file.as_ref().context("--webhook-hosts needs --webhook-secret-file")?;
        let text =
            std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
        let secrets = WebhookSecret::parse_lines(&text).with_context(|| path.display().to_string())?;
        Ok(Some(WebhookOptions::new(self.webhook_hosts.clone(), self.webhook_networks.clone(), secrets)))
    }
}

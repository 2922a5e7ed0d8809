//! `GET /metrics`: what an operator watches, for Prometheus: in OpenMetrics where it asks for that, else in the older
//! text format.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use prometheus_client::encoding::text::encode;

use super::App;
use super::problem::Problem;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn text(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<([(HeaderName, &'static str); 3], String), Problem> {
    let mut text = String::new();
    encode(&mut text, &app.registry)
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The metrics can't be written."))?;
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let media_type = if accepted.flat_map(|list| list.split(',')).any(is_open_metrics) {
        OPEN_METRICS
    } else {
        text = older(&text);
        TEXT
    };
    let headers =
        [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "no-store"), (header::VARY, "accept")];
    Ok((headers, text))
}

fn is_open_metrics(accepted: &str) -> bool {
    accepted.trim_start().starts_with("application/openmetrics-text")
}

/// The format before OpenMetrics: there a counter is declared by its sample's name, which ends in `_total`, and neither
/// units nor the end are said.
fn older(text: &str) -> String {
    let mut older = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let declared = |line: &str| line.strip_prefix("# TYPE ")?.strip_suffix(" counter").map(str::to_owned);
        let (help, name) = (line.strip_prefix("# HELP "), lines.peek().and_then(|next| declared(next)));
        if let (Some(help), Some(name)) = (help, name) {
            lines.next();
            let help = help.strip_prefix(&name).unwrap_or(help);
            older.push_str(&format!("# HELP {name}_total{help}\n# TYPE {name}_total counter\n"));
        } else if !line.starts_with("# UNIT ") && line != "# EOF" {
            older.push_str(line);
            older.push('\n');
        }
    }
    older
}

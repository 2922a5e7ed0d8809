//! `GET /metrics`: metrics for Prometheus, as OpenMetrics where the client accepts it, otherwise in the older text format.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use prometheus_client::encoding::text::encode;

use crate::web::problem::Problem;
use crate::web::state::AppState;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn show(
    State(app): State<AppState>,
    headers: HeaderMap,
) -> Result<([(HeaderName, &'static str); 3], String), Problem> {
    let mut text = String::new();
    encode(&mut text, &app.registry)
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The metrics can't be written."))?;
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let media_type = if accepted.flat_map(|list| list.split(',')).any(is_open_metrics) {
        OPEN_METRICS
    } else {
        text = to_prometheus_text(&text);
        TEXT
    };
    let headers =
        [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "no-store"), (header::VARY, "accept")];
    Ok((headers, text))
}

fn is_open_metrics(accepted: &str) -> bool {
    accepted.trim_start().starts_with("application/openmetrics-text")
}

/// Converts OpenMetrics to Prometheus' text format, in which the name of a counter ends in `_total` and there are no lines
/// with units and the end.
fn to_prometheus_text(text: &str) -> String {
    let mut converted = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let declared = |line: &str| line.strip_prefix("# TYPE ")?.strip_suffix(" counter").map(str::to_owned);
        let (help, name) = (line.strip_prefix("# HELP "), lines.peek().and_then(|next| declared(next)));
        if let (Some(help), Some(name)) = (help, name) {
            lines.next();
            let help = help.strip_prefix(&name).unwrap_or(help);
            converted.push_str(&format!("# HELP {name}_total{help}\n# TYPE {name}_total counter\n"));
        } else if !line.starts_with("# UNIT ") && line != "# EOF" {
            converted.push_str(line);
            converted.push('\n');
        }
    }
    converted
}

//! Times as AUTOMATIC1111 writes them.

use std::time::SystemTime;

/// `20260131235959`, in UTC.
pub(super) fn timestamp(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.chars().filter(char::is_ascii_digit).collect()
}

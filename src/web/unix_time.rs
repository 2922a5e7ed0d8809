//! Time as OpenAI's API and signed links write it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
pub(in crate::web) fn unix_time(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

//! Server-sent events: how many streams may be open (`stream_permit`), and where one resumes (`last_event_id`).

mod last_event_id;
mod stream_permit;

pub(super) use last_event_id::last_event_id;
pub(super) use stream_permit::{EventStreams, StreamPermit};

//! What the web layer keeps about jobs beside the engine: the client and picture format of each (`index`), the job of an
//! `Idempotency-Key` (`idempotency`), and waiting for the end (`wait`), also of a job that nobody else knows (`draw`).

mod draw;
mod idempotency;
mod index;
mod note;
mod wait;

pub(super) use draw::draw;
pub(super) use idempotency::IdempotencyKey;
pub(super) use index::{JobIndex, Submission, SubmittedJob};
pub(super) use wait::{CancelOnDrop, completed, wait_until_completed};

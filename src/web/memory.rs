//! The memory that pictures of clients may take, all together.

use super::files::{CACHE_CAPACITY, MAX_RENDER_MEMORY, pool_memory};
use super::options::MAX_ANSWER_MEMORY;
use super::request::{MAX_UPLOADS, UPLOAD_LIMIT};
use crate::picture::MAX_INPUT_MEMORY;

/// Bytes at most for images that clients send and for pictures that are rendered, however many clients there are:
///
/// | what | bound |
/// |---|---|
/// | uploads | 8 bodies of 12 MiB, each three times: the body, its text, the file |
/// | decoding | one large image of 400 MiB, one of 8 MiB, two of 4 MiB |
/// | rendering | one large picture of 160 MiB, one of 8 MiB, two of 4 MiB |
/// | rendered files | a cache of 64 MiB |
/// | answers that clients have not read | 64 MiB |
pub const MAX_IMAGE_MEMORY: u64 = 3 * (MAX_UPLOADS * UPLOAD_LIMIT) as u64
    + pool_memory(MAX_INPUT_MEMORY)
    + pool_memory(MAX_RENDER_MEMORY)
    + CACHE_CAPACITY
    + MAX_ANSWER_MEMORY as u64;

//! Reusable memory: freshly allocated memory costs a page fault every 4 kB.

use std::sync::{Mutex, PoisonError};

/// A pool of buffers that threads take for one call and give back.
pub(super) struct BufferPool<T>(Mutex<Vec<T>>);

impl<T> Default for BufferPool<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Default> BufferPool<T> {
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls `work` with a buffer for its exclusive use.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = lock().pop().unwrap_or_default();
        let result = work(&mut buffer);
        lock().push(buffer);
        result
    }
}

/// The first `len` numbers of a reusable buffer, which grows if necessary. Their values are unspecified.
pub(super) fn scratch<T: Clone + Default>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        buffer.resize(len, T::default());
    }
    &mut buffer[..len]
}

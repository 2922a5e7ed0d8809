//! The images in the stream of work, as far as a gateway knows.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;

use crate::engine::JobId;

/// The index of a model, a job and one of its images.
pub(super) type Image = (usize, JobId, u32);

/// What a gateway knows of the stream of work.
#[derive(Default)]
pub(super) struct QueuedImages {
    /// The images in the stream, with the time when this gateway heard of them. Some may be started or finished already.
    pub known: Mutex<HashMap<Image, Instant>>,
    /// By model index, how many images can be published at once: not 0 only where none waits.
    pub spare: Mutex<Vec<usize>>,
}

impl QueuedImages {
    /// Takes up to `count` of the images that can be published at once, and returns how many.
    pub fn take_spare(&self, model: usize, count: u32) -> u32 {
        let mut spare = self.spare.lock();
        let Some(spare) = spare.get_mut(model) else { return 0 };
        let taken = (*spare).min(count as usize);
        *spare -= taken;
        taken as u32
    }
}

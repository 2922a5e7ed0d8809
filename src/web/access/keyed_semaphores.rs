//! A semaphore for each key: what one client may have at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// With fewer keys than this, unused ones aren't looked for.
const PRUNE_FROM: usize = 64;

/// Semaphores with the same number of permits.
#[derive(Debug)]
pub(in crate::web) struct KeyedSemaphores<K> {
    permits: usize,
    entries: Mutex<Entries<K>>,
}

#[derive(Debug)]
struct Entries<K> {
    semaphores: HashMap<K, Weak<Semaphore>>,
    /// The number of semaphores after the last pruning.
    pruned_size: usize,
}

impl<K: Eq + Hash> KeyedSemaphores<K> {
    pub fn new(permits: usize) -> Self {
        let entries = Entries { semaphores: HashMap::new(), pruned_size: 0 };
        Self { permits: permits.min(Semaphore::MAX_PERMITS), entries: Mutex::new(entries) }
    }

    /// The semaphore of a key. It is forgotten when nobody has it or one of its permits.
    pub fn get(&self, key: K) -> Arc<Semaphore> {
        let mut entries = self.entries.lock();
        if let Some(semaphore) = entries.semaphores.get(&key).and_then(Weak::upgrade) {
            return semaphore;
        }
        let semaphore = Arc::new(Semaphore::new(self.permits));
        entries.semaphores.insert(key, Arc::downgrade(&semaphore));
        if entries.semaphores.len() >= PRUNE_FROM.max(2 * entries.pruned_size) {
            entries.semaphores.retain(|_, semaphore| semaphore.strong_count() > 0);
            entries.pruned_size = entries.semaphores.len();
        }
        semaphore
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_permits_of_its_own() {
        let semaphores = KeyedSemaphores::new(2);
        let acquire = |key: u32| semaphores.get(key).try_acquire_owned().ok();
        let first = acquire(1);
        let second = acquire(1);
        assert!(first.is_some() && second.is_some() && acquire(1).is_none() && acquire(2).is_some());
        drop(first);
        assert!(acquire(1).is_some());
    }

    #[test]
    fn unused_keys_are_forgotten() {
        let semaphores = KeyedSemaphores::new(1);
        let kept: Vec<_> = (0..10).map(|key| semaphores.get(key)).collect();
        for key in 0..10_000 {
            semaphores.get(key);
        }
        assert!(semaphores.entries.lock().semaphores.len() <= PRUNE_FROM);
        drop(kept);
    }
}

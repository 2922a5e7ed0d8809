//! Permits that clients share: some in all, and of these a part for each client.

use std::hash::Hash;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::keyed_semaphores::KeyedSemaphores;

/// A client never has more than its part, so that a few clients can't have all.
#[derive(Debug)]
pub(in crate::web) struct ClientPermits<K> {
    all: Arc<Semaphore>,
    of_client: KeyedSemaphores<K>,
    total: usize,
    part: usize,
}

/// Permits of one client, until this is dropped.
#[derive(Debug)]
pub(in crate::web) struct ClientPermit {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl<K: Eq + Hash> ClientPermits<K> {
    /// `total` permits, of which each client may have `part`.
    pub fn new(total: usize, part: usize) -> Self {
        let (total, part) = (total.min(Semaphore::MAX_PERMITS), part.min(Semaphore::MAX_PERMITS));
        Self { all: Arc::new(Semaphore::new(total)), of_client: KeyedSemaphores::new(part), total, part }
    }

    /// One permit; `None` where none is free.
    pub fn try_acquire(&self, client: K) -> Option<ClientPermit> {
        self.try_acquire_many(client, 1)
    }

    /// So many permits, or all where that is more than there are, also of the client's own; `None` where these aren't free.
    pub fn try_acquire_many(&self, client: K, count: usize) -> Option<ClientPermit> {
        let take = |permits: Arc<Semaphore>, most: usize| {
            permits.try_acquire_many_owned(u32::try_from(count.min(most).max(1)).ok()?).ok()
        };
        let own = take(self.of_client.get(client), self.part)?;
        Some(ClientPermit { _own: own, _all: take(Arc::clone(&self.all), self.total)? })
    }

    /// Waits for one permit. `None` only if the permits were closed, which they never are.
    pub async fn acquire(&self, client: K) -> Option<ClientPermit> {
        // First its own: a client that waits for these takes none from others.
        let own = self.of_client.get(client).acquire_owned().await.ok()?;
        let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(ClientPermit { _own: own, _all: all })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_have_their_part_of_the_permits() {
        let permits = ClientPermits::new(3, 2);
        let first: Vec<_> = (0..3).map(|_| permits.try_acquire(1)).collect();
        assert!(first[..2].iter().all(Option::is_some) && first[2].is_none());
        let second = permits.try_acquire(2);
        assert!(second.is_some() && permits.try_acquire(2).is_none());
        drop(first);
        assert!(permits.try_acquire(2).is_some());
    }

    #[test]
    fn more_permits_than_there_are_take_all() {
        let permits = ClientPermits::new(3, 2);
        let part = permits.try_acquire_many(1, 2);
        assert!(part.is_some() && permits.try_acquire(1).is_none() && permits.try_acquire(2).is_some());
        drop(part);
        let all = permits.try_acquire_many(1, 100);
        assert!(all.is_some() && permits.try_acquire(2).is_none());
        assert!(ClientPermits::new(0, 0).try_acquire(1).is_none());
    }
}

//! Limits of clients over time: a token bucket for each client.

use std::convert::Infallible;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::request::Parts;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

use super::client_address::ClientAddress;
use super::keys::KeyName;

/// After this many requests, buckets that are full again are dropped.
const PRUNE_INTERVAL: u64 = 1024;

/// How much a client may have: an amount a minute in the long run, and an amount at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// In the long run.
    pub per_minute: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

/// What limits are counted by: a key's name or, without a key, a network.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::web) enum LimitKey {
    Key(KeyName),
    Network(Option<IpAddr>),
}

impl LimitKey {
    /// Of a request with these extensions.
    pub fn of(extensions: &Extensions) -> Self {
        match extensions.get::<KeyName>() {
            Some(name) => Self::Key(name.clone()),
            None => Self::Network(ClientAddress::of(extensions).network()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for LimitKey {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

/// For each client a bucket of `burst` that refills at `per_minute`.
pub(super) struct TokenBuckets {
    buckets: DefaultKeyedRateLimiter<LimitKey>,
    burst: NonZeroU32,
    clock: DefaultClock,
    requests: AtomicU64,
}

impl TokenBuckets {
    pub fn new(limit: RateLimit) -> Self {
        let quota = Quota::per_minute(limit.per_minute).allow_burst(limit.burst);
        Self {
            buckets: DefaultKeyedRateLimiter::keyed(quota),
            burst: limit.burst,
            clock: DefaultClock::default(),
            requests: AtomicU64::new(0),
        }
    }

    /// Takes an amount out of a client's bucket. An amount that no bucket holds takes a full one.
    ///
    /// # Errors
    /// The time after which the bucket holds the amount.
    pub fn take(&self, client: &LimitKey, amount: NonZeroU32) -> Result<(), Duration> {
        if self.requests.fetch_add(1, Ordering::Relaxed) % PRUNE_INTERVAL == PRUNE_INTERVAL - 1 {
            self.buckets.retain_recent();
            self.buckets.shrink_to_fit();
        }
        match self.buckets.check_key_n(client, amount.min(self.burst)) {
            Ok(Err(exceeded)) => Err(exceeded.wait_time_from(self.clock.now())),
            // A full bucket always holds enough.
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}

//! The rate limit of requests for work (POST): for each client a token bucket of `burst` that refills at `per_minute`.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Request, State};
use axum::http::{Extensions, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

use super::client_address::ClientAddress;
use super::keys::KeyName;
use crate::web::problem::Problem;

/// After this many requests, buckets that are full again are dropped.
const PRUNE_INTERVAL: u64 = 1024;

/// How many requests for work (POST) one client may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests a minute in the long run.
    pub per_minute: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
}

/// The key of a bucket: requests of one key, or of one network, share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum BucketKey {
    Key(KeyName),
    Network(Option<IpAddr>),
}

/// The state of [`limit_rate`].
pub(in crate::web) struct RateLimiter {
    buckets: DefaultKeyedRateLimiter<BucketKey>,
    clock: DefaultClock,
    requests: AtomicU64,
}

impl RateLimiter {
    /// A limiter of clients that have a key or, without one, an address.
    pub fn new(limit: RateLimit) -> Self {
        let quota = Quota::per_minute(limit.per_minute).allow_burst(limit.burst);
        Self {
            buckets: DefaultKeyedRateLimiter::keyed(quota),
            clock: DefaultClock::default(),
            requests: AtomicU64::new(0),
        }
    }
}

impl BucketKey {
    fn of(extensions: &Extensions) -> Self {
        match extensions.get::<KeyName>() {
            Some(name) => Self::Key(name.clone()),
            None => Self::Network(ClientAddress::of(extensions).network()),
        }
    }
}

/// Middleware that answers 429 where a client exceeded its limit.
pub(in crate::web) async fn limit_rate(
    State(limiter): State<Arc<RateLimiter>>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    if limiter.requests.fetch_add(1, Ordering::Relaxed) % PRUNE_INTERVAL == PRUNE_INTERVAL - 1 {
        limiter.buckets.retain_recent();
        limiter.buckets.shrink_to_fit();
    }
    match limiter.buckets.check_key(&BucketKey::of(request.extensions())) {
        Ok(()) => next.run(request).await,
        Err(exceeded) => Problem::rate_limited(exceeded.wait_time_from(limiter.clock.now())).into_response(),
    }
}

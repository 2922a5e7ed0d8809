//! The rate limit of requests for work (POST): for each client a token bucket of `burst` that refills at `per_minute`.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

use super::client_address::{ProxyHeader, client_address};
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
    Address(Option<IpAddr>),
}

/// The state of [`limit_rate`].
pub(in crate::web) struct RateLimiter {
    buckets: DefaultKeyedRateLimiter<BucketKey>,
    clock: DefaultClock,
    trust_proxy: Option<ProxyHeader>,
    requests: AtomicU64,
}

impl RateLimiter {
    /// A limiter of clients that have a key or, without one, an address.
    pub fn new(limit: RateLimit, trust_proxy: Option<ProxyHeader>) -> Self {
        let quota = Quota::per_minute(limit.per_minute).allow_burst(limit.burst);
        Self {
            buckets: DefaultKeyedRateLimiter::keyed(quota),
            clock: DefaultClock::default(),
            trust_proxy,
            requests: AtomicU64::new(0),
        }
    }

    fn bucket_key(&self, request: &Request) -> BucketKey {
        match request.extensions().get::<KeyName>() {
            Some(name) => BucketKey::Key(name.clone()),
            None => BucketKey::Address(client_address(request, self.trust_proxy).map(network)),
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
    match limiter.buckets.check_key(&limiter.bucket_key(&request)) {
        Ok(()) => next.run(request).await,
        Err(exceeded) => Problem::rate_limited(exceeded.wait_time_from(limiter.clock.now())).into_response(),
    }
}

/// The network that one client usually has: an IPv4 address, or an IPv6 /64 prefix.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

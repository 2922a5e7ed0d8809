//! How many requests for work (POST) a client may make: a bucket of `burst` that refills at `per_minute`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

use super::keys::KeyName;
use super::options::{Options, ProxyHeader};
use super::problem::Problem;

/// After so many requests, clients whose bucket is full again are forgotten.
const FORGET_EVERY: u64 = 1024;

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Client {
    Key(KeyName),
    Address(Option<IpAddr>),
}

/// What [`limit`] goes by.
pub(super) struct Limiter {
    buckets: DefaultKeyedRateLimiter<Client>,
    clock: DefaultClock,
    trust_proxy: Option<ProxyHeader>,
    requests: AtomicU64,
}

impl Limiter {
    /// `None` where there is no limit.
    pub fn new(options: &Options) -> Option<Arc<Self>> {
        let limit = options.rate_limit?;
        let quota = Quota::per_minute(limit.per_minute).allow_burst(limit.burst);
        Some(Arc::new(Self {
            buckets: DefaultKeyedRateLimiter::keyed(quota),
            clock: DefaultClock::default(),
            trust_proxy: options.trust_proxy,
            requests: AtomicU64::new(0),
        }))
    }

    fn client(&self, request: &Request) -> Client {
        match request.extensions().get::<KeyName>() {
            Some(name) => Client::Key(name.clone()),
            None => Client::Address(address(request, self.trust_proxy).map(network)),
        }
    }
}

/// Lets a request pass, or answers 429.
pub(super) async fn limit(State(limiter): State<Arc<Limiter>>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    if limiter.requests.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
        limiter.buckets.retain_recent();
        limiter.buckets.shrink_to_fit();
    }
    match limiter.buckets.check_key(&limiter.client(&request)) {
        Ok(()) => next.run(request).await,
        Err(early) => Problem::rate_limited(early.wait_time_from(limiter.clock.now())).into_response(),
    }
}

/// Whose request it is: what the trusted proxy says, else the connection's other end.
pub(super) fn address(request: &Request, trust_proxy: Option<ProxyHeader>) -> Option<IpAddr> {
    let told = trust_proxy.and_then(|header| told_by_proxy(request.headers(), header));
    told.or_else(|| Some(request.extensions().get::<ConnectInfo<SocketAddr>>()?.ip()))
}

fn told_by_proxy(headers: &HeaderMap, header: ProxyHeader) -> Option<IpAddr> {
    let told = match header {
        ProxyHeader::XForwardedFor => client_ip::rightmost_x_forwarded_for(headers),
        ProxyHeader::XRealIp => client_ip::x_real_ip(headers),
        ProxyHeader::CfConnectingIp => client_ip::cf_connecting_ip(headers),
    };
    told.inspect_err(|error| tracing::warn!(%error, "the proxy doesn't say whose request it is")).ok()
}

/// What one client has: an IPv4 address, or the first half of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

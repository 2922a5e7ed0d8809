//! Limits of clients over time: a token bucket for each client. Several gateways tell each other what they take, so that the
//! bucket is the same at all of them but for a fraction of a second.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::request::Parts;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use parking_lot::Mutex;

use super::client_address::ClientAddress;
use super::keys::KeyName;
use crate::queue::{Charges, ClientLimit};

/// After this many requests and charges of other gateways, buckets that are full again are dropped.
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
        Self::new(extensions.get::<KeyName>(), ClientAddress::of(extensions).network())
    }

    /// Of a client with a key or without.
    pub fn new(key: Option<&KeyName>, network: Option<IpAddr>) -> Self {
        key.map_or(Self::Network(network), |name| Self::Key(name.clone()))
    }

    fn parse(text: &str) -> Option<Self> {
        match text.split_once(' ') {
            Some(("key", name)) => Some(Self::Key(KeyName(name.into()))),
            Some(("network", network)) => Some(Self::Network(Some(network.parse().ok()?))),
            _ => (text == "unknown").then_some(Self::Network(None)),
        }
    }
}

/// The text that [`LimitKey::parse`] reads.
impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(KeyName(name)) => write!(f, "key {name}"),
            Self::Network(Some(network)) => write!(f, "network {network}"),
            Self::Network(None) => f.write_str("unknown"),
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
    /// After this time a bucket is full, even one that owes all that it can hold.
    refill: Duration,
    clock: DefaultClock,
    uses: AtomicU64,
    /// What other gateways took when the bucket here no longer held it, and since when.
    owed: Mutex<HashMap<LimitKey, (NonZeroU32, Instant)>>,
    /// Tells other gateways.
    charges: Option<(Arc<Charges>, ClientLimit)>,
}

impl TokenBuckets {
    /// `charges`: those of all gateways, and the limit that this is.
    pub fn new(limit: RateLimit, charges: Option<(Arc<Charges>, ClientLimit)>) -> Arc<Self> {
        let quota = Quota::per_minute(limit.per_minute).allow_burst(limit.burst);
        let buckets = Arc::new(Self {
            buckets: DefaultKeyedRateLimiter::keyed(quota),
            burst: limit.burst,
            refill: 2 * quota.burst_size_replenished_in(),
            clock: DefaultClock::default(),
            uses: AtomicU64::new(0),
            owed: Mutex::default(),
            charges,
        });
        if let Some((charges, limit)) = &buckets.charges {
            let buckets = Arc::downgrade(&buckets);
            charges.listen(*limit, move |client, amount| {
                if let (Some(buckets), Some(client), Some(amount)) =
                    (buckets.upgrade(), LimitKey::parse(client), NonZeroU32::new(amount))
                {
                    buckets.take_elsewhere(client, amount);
                }
            });
        }
        buckets
    }

    /// Takes an amount out of a client's bucket. An amount that no bucket holds takes a full one.
    ///
    /// # Errors
    /// The time after which the bucket holds the amount.
    pub fn take(&self, client: &LimitKey, amount: NonZeroU32) -> Result<(), Duration> {
        self.prune_sometimes();
        if self.charges.is_some() {
            self.pay(client)?;
        }
        let amount = amount.min(self.burst);
        self.take_here(client, amount)?;
        if let Some((charges, limit)) = &self.charges {
            charges.tell(*limit, client.to_string(), amount.get());
        }
        Ok(())
    }

    fn prune_sometimes(&self) {
        if self.uses.fetch_add(1, Ordering::Relaxed) % PRUNE_INTERVAL == PRUNE_INTERVAL - 1 {
            self.buckets.retain_recent();
            self.buckets.shrink_to_fit();
            self.owed.lock().retain(|_, (_, since)| since.elapsed() < self.refill);
        }
    }

    fn take_here(&self, client: &LimitKey, amount: NonZeroU32) -> Result<(), Duration> {
        match self.buckets.check_key_n(client, amount) {
            Ok(Err(exceeded)) => Err(exceeded.wait_time_from(self.clock.now())),
            // A full bucket always holds enough.
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    /// Takes what another gateway has given, now or as soon as the bucket holds it.
    fn take_elsewhere(&self, client: LimitKey, amount: NonZeroU32) {
        self.prune_sometimes();
        // Locked to the end: meanwhile nobody takes what is owed.
        let mut all = self.owed.lock();
        let owed = all.remove(&client);
        let sum = owed.map_or(amount, |(owed, _)| owed.saturating_add(amount.get())).min(self.burst);
        if self.take_here(&client, sum).is_err() {
            all.insert(client, (sum, Instant::now()));
        }
    }

    /// Takes what is owed.
    fn pay(&self, client: &LimitKey) -> Result<(), Duration> {
        let mut all = self.owed.lock();
        let Some((owed, since)) = all.get(client) else { return Ok(()) };
        if since.elapsed() < self.refill {
            self.take_here(client, *owed)?;
        }
        all.remove(client);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    fn client(name: &str) -> LimitKey {
        LimitKey::Key(KeyName(name.into()))
    }

    #[test]
    fn client_is_read_from_its_text() {
        let networks = ["192.0.2.1", "2001:db8::"].map(|network| Some(network.parse().unwrap()));
        let networks = networks.into_iter().chain([None]).map(LimitKey::Network);
        for client in networks.chain(["key", "unknown", "a b"].map(client)) {
            assert_eq!(LimitKey::parse(&client.to_string()), Some(client));
        }
        for text in ["", "key", "network", "network x", "unknown ", "name x"] {
            assert_eq!(LimitKey::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_another_gateway_gave_is_missing_here() {
        let limit = RateLimit { per_minute: number(1), burst: number(10) };
        let buckets = TokenBuckets::new(limit, Some((Arc::default(), ClientLimit::Cost)));
        buckets.take_elsewhere(client("a"), number(7));
        assert!(buckets.take(&client("a"), number(4)).is_err());
        assert!(buckets.take(&client("a"), number(3)).is_ok());
        assert!(buckets.take(&client("b"), number(10)).is_ok());
    }

    #[test]
    fn clients_of_other_gateways_are_forgotten() {
        // Full again after 10 microseconds.
        let limit = RateLimit { per_minute: number(60_000_000), burst: number(10) };
        let buckets = TokenBuckets::new(limit, Some((Arc::default(), ClientLimit::Cost)));
        for name in 0..10 * PRUNE_INTERVAL {
            buckets.take_elsewhere(client(&name.to_string()), number(10));
        }
        let known = buckets.buckets.len() as u64;
        assert!(known <= 2 * PRUNE_INTERVAL, "{known}");
    }

    #[test]
    fn what_the_bucket_does_not_hold_is_taken_later() {
        // Ten a second.
        let limit = RateLimit { per_minute: number(600), burst: number(10) };
        let buckets = TokenBuckets::new(limit, Some((Arc::default(), ClientLimit::Cost)));
        let client = client("a");
        assert!(buckets.take(&client, number(10)).is_ok());
        buckets.take_elsewhere(client.clone(), number(3));
        buckets.take_elsewhere(client.clone(), number(2));
        let wait = buckets.take(&client, number(1)).unwrap_err();
        assert!(wait > Duration::from_millis(300), "{wait:?}");
        std::thread::sleep(wait + Duration::from_millis(150));
        // The bucket held six, of which five were owed.
        assert!(buckets.take(&client, number(1)).is_ok());
        assert!(buckets.owed.lock().is_empty());
        assert!(buckets.take(&client, number(5)).is_err());
    }
}

//! The limit of a client's work by what it costs, whatever the number of its requests.
//!
//! | work | cost |
//! |---|---|
//! | an image that is generated or tokenized | 1 |
//! | a million pixels of a picture that is rendered or read | 1 |
//!
//! Fractions count. Pictures that are cached cost nothing.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::Extensions;
use axum::http::request::Parts;

use super::token_buckets::{LimitKey, RateLimit, TokenBuckets};
use crate::queue::{Charges, ClientLimit};
use crate::web::problem::Problem;

/// The unit of costs: an image has so many, which are a thousand pixels each.
const UNITS: u32 = 1000;

/// What a request costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) struct Cost(u32);

impl Cost {
    /// Of images that are generated or tokenized.
    pub fn images(count: u32) -> Self {
        Self(count.saturating_mul(UNITS))
    }

    /// Of pictures that are rendered or read.
    pub fn pixels(count: u64) -> Self {
        Self(u32::try_from(count.div_ceil(1_000_000 / u64::from(UNITS))).unwrap_or(u32::MAX))
    }

    pub fn and(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// The limits of all clients. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::web) struct CostLimiter(Option<Arc<TokenBuckets>>);

impl CostLimiter {
    /// A limit in images; `None` is no limit. `charges`: those of all gateways.
    pub fn new(limit: Option<RateLimit>, charges: Option<&Arc<Charges>>) -> Self {
        let in_units = |images: NonZeroU32| images.saturating_mul(NonZeroU32::MIN.saturating_add(UNITS - 1));
        let limit = limit
            .map(|limit| RateLimit { per_minute: in_units(limit.per_minute), burst: in_units(limit.burst) });
        let charges = charges.map(|charges| (Arc::clone(charges), ClientLimit::Cost));
        Self(limit.map(|limit| TokenBuckets::new(limit, charges)))
    }
}

/// What the client of a request may still cost.
#[derive(Clone)]
pub(in crate::web) struct Budget {
    client: LimitKey,
    /// `None` is no limit.
    buckets: Option<Arc<TokenBuckets>>,
}

impl<S> FromRequestParts<S> for Budget
where
    S: Send + Sync,
    CostLimiter: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let CostLimiter(buckets) = CostLimiter::from_ref(state);
        Ok(Self { client: LimitKey::of(&parts.extensions), buckets })
    }
}

impl Budget {
    /// That of a client that isn't reached over HTTP.
    pub fn unlimited() -> Self {
        Self { client: LimitKey::of(&Extensions::new()), buckets: None }
    }

    /// The client that pays.
    pub fn client(&self) -> &LimitKey {
        &self.client
    }

    /// The same client's for work that has been charged already.
    pub fn paid(&self) -> Self {
        Self { client: self.client.clone(), buckets: None }
    }

    /// # Errors
    /// 429 where the client has exceeded its limit.
    pub fn charge(&self, Cost(cost): Cost) -> Result<(), Problem> {
        match (&self.buckets, NonZeroU32::new(cost)) {
            (Some(buckets), Some(cost)) => buckets.take(&self.client, cost).map_err(Problem::cost_limited),
            _ => Ok(()),
        }
    }
}

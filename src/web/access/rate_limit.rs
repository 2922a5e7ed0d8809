//! The rate limit of requests for work: POST, pictures of links, and pictures by address that are not cached.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::token_buckets::{LimitKey, RateLimit, TokenBuckets};
use crate::queue::{Charges, ClientLimit};
use crate::web::problem::Problem;

/// The limits of all clients. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::web) struct RateLimiter(Option<Arc<TokenBuckets>>);

impl RateLimiter {
    /// `None` is no limit. `charges`: those of all gateways.
    pub fn new(limit: Option<RateLimit>, charges: Option<&Arc<Charges>>) -> Self {
        let charges = charges.map(|charges| (Arc::clone(charges), ClientLimit::Requests));
        Self(limit.map(|limit| TokenBuckets::new(limit, charges)))
    }

    fn count(&self, client: &LimitKey) -> Result<(), Problem> {
        let Some(buckets) = &self.0 else { return Ok(()) };
        buckets.take(client, NonZeroU32::MIN).map_err(Problem::rate_limited)
    }
}

/// Counts a GET request, once its handler knows that it means work.
pub(in crate::web) struct RequestQuota(RateLimiter, LimitKey);

impl<S> FromRequestParts<S> for RequestQuota
where
    S: Send + Sync,
    RateLimiter: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self(RateLimiter::from_ref(state), LimitKey::of(&parts.extensions)))
    }
}

impl RequestQuota {
    /// # Errors
    /// 429 where the client has exceeded its limit.
    pub fn count(&self) -> Result<(), Problem> {
        self.0.count(&self.1)
    }
}

/// Middleware that answers 429 to a POST request where the client exceeded its limit. Handlers count the other requests for
/// work ([`RequestQuota`]).
pub(in crate::web) async fn limit_rate(
    State(limiter): State<RateLimiter>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    match limiter.count(&LimitKey::of(request.extensions())) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

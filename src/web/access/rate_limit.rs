//! The rate limit of requests for work (POST, and pictures of links).

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::keys::LINK_PREVIEW_PATH;
use super::token_buckets::{LimitKey, RateLimit, TokenBuckets};
use crate::web::problem::Problem;

/// The state of [`limit_rate`].
pub(in crate::web) struct RateLimiter(TokenBuckets);

impl RateLimiter {
    pub fn new(limit: RateLimit) -> Self {
        Self(TokenBuckets::new(limit))
    }
}

/// Middleware that answers 429 where a client exceeded its limit.
pub(in crate::web) async fn limit_rate(
    State(limiter): State<Arc<RateLimiter>>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::POST && request.uri().path() != LINK_PREVIEW_PATH {
        return next.run(request).await;
    }
    match limiter.0.take(&LimitKey::of(request.extensions()), NonZeroU32::MIN) {
        Ok(()) => next.run(request).await,
        Err(wait) => Problem::rate_limited(wait).into_response(),
    }
}

//! Who may ask for how much: API keys (`keys`), who a client is (`client`, `client_address`), rate limits (`rate_limit`),
//! which sites' scripts may use the API (`origins`), how long a body may take to arrive (`body_timeout`), and how much memory
//! answers may take that nobody reads (`answer_memory`).

mod answer_memory;
mod body_timeout;
mod client;
mod client_address;
mod keys;
mod origins;
mod rate_limit;

pub(super) use answer_memory::{AnswerMemory, SharedBody, limit_answers};
pub(super) use body_timeout::limit_body_time;
pub(super) use client::{CLIENT_HEADER, Client, header_text, invalid_header};
pub(super) use client_address::{ClientAddress, with_client_address};
pub(super) use keys::{KeyCheck, check_key};
pub(super) use origins::{cors, same_origin};
pub(super) use rate_limit::{RateLimiter, limit_rate};

pub use client_address::ProxyHeader;
pub use keys::{ApiKey, ApiKeyError, PublicPaths};
pub use origins::{Origin, OriginError};
pub use rate_limit::RateLimit;

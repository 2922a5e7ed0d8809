//! Who may ask for how much.
//!
//! | file | contents |
//! |---|---|
//! | `keys` | API keys |
//! | `client`, `client_address` | who a client is |
//! | `proxy`, `root_path` | what a proxy says of a request, and the path below which clients reach the server |
//! | `hosts`, `origins` | by which names clients reach the server, which sites' scripts may use the API |
//! | `rate_limit`, `cost_limit` | requests of a client over time, and what they cost; `token_buckets` counts both |
//! | `client_permits` | what clients may have at once: connections, uploads, streams; `keyed_semaphores` counts each client's |
//! | `body_timeout`, `body_pieces` | how long a body may take to arrive, and in how many small pieces |
//! | `answer_memory` | how much memory answers may take that nobody reads |
//! | `link_signer` | links to pictures that need no key |

mod answer_memory;
mod body_pieces;
mod body_timeout;
mod client;
mod client_address;
mod client_permits;
mod cost_limit;
mod hosts;
mod keyed_semaphores;
mod keys;
mod link_signer;
mod origins;
mod proxy;
mod rate_limit;
mod root_path;
mod token_buckets;

pub(super) use answer_memory::{AnswerMemory, SharedBody, limit_answers};
pub(super) use body_pieces::{SmallPieces, limit_small_pieces};
pub(super) use body_timeout::limit_body_time;
pub(super) use client::{CLIENT_HEADER, Client, header_text, invalid_header};
pub(super) use client_address::{ClientAddress, network};
pub(super) use client_permits::{ClientPermit, ClientPermits};
pub(super) use cost_limit::{Budget, Cost, CostLimiter};
pub(super) use hosts::{HostCheck, LocalAddress, check_host};
pub(super) use keyed_semaphores::KeyedSemaphores;
pub(super) use keys::{KeyCheck, LINK_PREVIEW_PATH, check_key};
pub(super) use link_signer::LinkSigner;
pub(super) use origins::{cors, is_cross_site, same_origin, trust_origins};
pub(super) use proxy::{ProxyRules, read_proxy_headers};
pub(super) use rate_limit::{RateLimiter, RequestQuota, limit_rate};
pub(super) use root_path::root_path;
pub(super) use token_buckets::LimitKey;

pub use hosts::{HostName, HostNameError};
pub use keys::{ApiKey, ApiKeyError, PublicPaths};
pub use origins::{Origin, OriginError};
pub use proxy::ProxyHeader;
pub use root_path::{RootPath, RootPathError};
pub use token_buckets::RateLimit;

//! Where jobs are drawn: by the engine of this process, or by workers on other machines. [`AnyEngine`] is all that the layers
//! above see of it.
//!
//! With NATS JetStream there are two roles, and any number of processes in each. A [`Gateway`] accepts jobs and knows all of
//! them; [`work`] draws images. Two streams are between them:
//!
//! - The stream of work has a message for each image that isn't finished. Its subject names the model and its version, so that
//!   an image never meets other weights. A worker that ends without acknowledging it loses it to another.
//! - The stream of events has all that happened, in one order: accepted, started, steps, ended. Jobs are what follows from it;
//!   nothing else is stored. All gateways read it and have the same jobs with the same event numbers.
//!
//! Each message has an id, and the servers store none twice. So a message can be published again when nobody knows whether it was
//! stored. An image can be drawn again from its first step: each attempt is a run with a number, and the last that started counts.
//!
//! | Question | File |
//! |---|---|
//! | What does the web layer need of an engine? | `any_engine` |
//! | How are jobs accepted, found and canceled? | `gateway`, `shared` |
//! | How does a gateway hear of jobs and workers? | `follower`, `fleet` |
//! | How do the limits of clients hold at all gateways? | `charges` |
//! | Which images do workers get next? | `dispatch`, `queued_images` |
//! | What does a worker do? | `worker` |
//! | What is in a message, and when is it refused? | `message`, `names` |
//! | Which streams and consumers are there? | `streams` |
//! | How are the servers reached? | `connection`, `publish`, `options`, `error` |
//! | What can an operator measure? | `metrics` |

mod any_engine;
mod charges;
mod connection;
mod dispatch;
mod error;
mod fleet;
mod follower;
mod gateway;
mod message;
mod metrics;
mod names;
mod options;
mod publish;
mod queued_images;
mod shared;
mod streams;
mod worker;

pub use any_engine::AnyEngine;
pub use charges::{Charges, ClientLimit};
pub use error::QueueError;
pub use fleet::{WorkerModel, WorkerReport};
pub use gateway::{Gateway, GatewayError};
pub use options::QueueOptions;
pub use shared::{Submission, Submitted};
pub use streams::plan;
pub use worker::work;

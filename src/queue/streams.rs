//! The streams and consumers on JetStream: their definitions, and creating or checking them.

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use async_nats::jetstream::{Context, ErrorCode};

use super::error::QueueError;
use super::names::Names;
use super::options::QueueOptions;
use crate::engine::ModelInfo;

/// The definition of the stream of events, which are kept for a time.
pub(super) fn event_stream(names: &Names, options: &QueueOptions) -> Config {
    Config {
        name: names.event_stream(),
        subjects: vec![names.all_events()],
        description: Some("What happened to jobs: accepted, started, steps, ended".into()),
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        max_bytes: i64::try_from(options.max_bytes).unwrap_or(i64::MAX),
        max_age: options.max_age,
        // As long as a job is known, so that an idempotency key is, too.
        duplicate_window: options.max_age,
        ..common(options)
    }
}

/// The definition of the stream of images to draw, of which each is deleted when a worker has drawn it.
pub(super) fn work_stream(names: &Names, options: &QueueOptions) -> Config {
    Config {
        name: names.work_stream(),
        subjects: vec![names.all_work()],
        description: Some("Images to draw".into()),
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        max_age: options.max_age,
        duplicate_window: options.max_age,
        ..common(options)
    }
}

fn common(options: &QueueOptions) -> Config {
    Config {
        storage: if options.in_memory { StorageType::Memory } else { StorageType::File },
        num_replicas: options.replicas,
        max_messages: -1,
        max_bytes: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        ..Config::default()
    }
}

/// The definition of the consumer that the workers of a model in its version share.
pub(super) fn consumer(names: &Names, options: &QueueOptions, model: &ModelInfo) -> pull::Config {
    pull::Config {
        durable_name: Some(names.consumer(model)),
        filter_subject: names.work_filter(model),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: options.ack_wait,
        // Workers count deliveries themselves: they fail the job after the last one.
        max_deliver: -1,
        // Workers ask for as many as they can draw; a limit would be shared by all of them.
        max_ack_pending: -1,
        ..pull::Config::default()
    }
}

/// Creates a stream, or checks that the one with its name has this definition.
pub(super) async fn ensure_stream(jetstream: &Context, config: Config) -> Result<Stream, QueueError> {
    let name = config.name.clone();
    let stream = match jetstream.get_stream(&name).await {
        Ok(stream) => stream,
        Err(error) if is_missing(&error) => {
            // Another process may create it at the same time, which succeeds if the definitions are equal.
            let created = jetstream.create_stream(config.clone()).await;
            match created {
                Ok(stream) => stream,
                Err(error) => match jetstream.get_stream(&name).await {
                    Ok(stream) => stream,
                    Err(_) => return Err(QueueError::Stream { name, reason: error.to_string() }),
                },
            }
        }
        Err(error) => return Err(QueueError::Stream { name, reason: error.to_string() }),
    };
    let found = &stream.cached_info().config;
    for (setting, is_equal) in [
        ("subjects", found.subjects == config.subjects),
        ("retention", found.retention == config.retention),
        ("discard", found.discard == config.discard),
        ("storage", found.storage == config.storage),
        ("num_replicas", found.num_replicas == config.num_replicas),
        ("duplicate_window", found.duplicate_window >= config.duplicate_window),
        ("max_age", found.max_age.is_zero() || found.max_age >= config.max_age),
    ] {
        if !is_equal {
            return Err(QueueError::Settings { name, setting });
        }
    }
    Ok(stream)
}

fn is_missing(error: &async_nats::jetstream::context::GetStreamError) -> bool {
    use async_nats::jetstream::context::GetStreamErrorKind;
    matches!(error.kind(), GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// The definitions as JSON, as NATS' own programs take them.
///
/// # Errors
/// None that can happen: the definitions are JSON.
pub fn plan(options: &QueueOptions, models: &[ModelInfo]) -> serde_json::Result<String> {
    let names = Names::new(&options.prefix);
    let consumers: Vec<_> = models.iter().map(|model| consumer(&names, options, model)).collect();
    serde_json::to_string_pretty(&serde_json::json!({
        "streams": [event_stream(&names, options), work_stream(&names, options)],
        "consumers": { names.work_stream(): consumers },
    }))
}

//! A job's events and the token grids of its images, in compact binary form (postcard), after a byte with the form's version.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::StoreError;
use crate::engine::{EndedJob, Event};

const VERSION: u8 = 1;

/// What is kept of a job's steps.
#[derive(Debug, PartialEq)]
pub(super) struct EventLog {
    pub events: Vec<Arc<Event>>,
    /// C_1 … C_T of each image that has them, with its index: those of a variation's first steps are in no event.
    pub tokens: Vec<(u32, Vec<Vec<u32>>)>,
}

/// Its content as it is written.
#[derive(Serialize)]
struct Written<'a> {
    events: Vec<&'a Event>,
    tokens: &'a [(u32, Vec<Vec<u32>>)],
}

/// Its content as it is read.
#[derive(Deserialize)]
struct Read {
    events: Vec<Event>,
    tokens: Vec<(u32, Vec<Vec<u32>>)>,
}

impl EventLog {
    /// That of a job.
    pub fn of(job: &EndedJob) -> Self {
        let tokens = job.snapshot.images.iter();
        let tokens = tokens.filter_map(|image| Some((image.index, image.tokens.as_deref()?.to_vec())));
        Self { events: job.events.clone(), tokens: tokens.collect() }
    }

    /// It as a file.
    pub fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let written = Written { events: self.events.iter().map(Arc::as_ref).collect(), tokens: &self.tokens };
        postcard::to_extend(&written, vec![VERSION]).map_err(|error| StoreError::Invalid(error.to_string()))
    }

    /// That of a file.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] where it has another version, or is none.
    pub fn decode(file: &[u8]) -> Result<Self, StoreError> {
        match file.split_first() {
            Some((&VERSION, content)) => {
                let Read { events, tokens } =
                    postcard::from_bytes(content).map_err(|error| StoreError::Invalid(error.to_string()))?;
                Ok(Self { events: events.into_iter().map(Arc::new).collect(), tokens })
            }
            _ => Err(StoreError::Invalid("its events have another version".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::{Progress, QueuePosition, StepImage, StepPreview};
    use crate::model::Alternatives;

    #[test]
    fn decoded_events_are_those_encoded() {
        let image = StepImage {
            index: 3,
            tokens: vec![0, 511],
            entropy: vec![0.1, 8.9],
            probability: vec![f32::MIN_POSITIVE, 1.0],
            alternatives: Some(Alternatives {
                codes: vec![1, 2],
                probabilities: vec![0.5, 0.25],
                ranks: vec![1, 7],
            }),
            given: vec![true, false],
            preview: Some(StepPreview { noisy: vec![1, 2].into(), clean: vec![].into() }),
        };
        let events: Vec<Arc<Event>> = [
            Event::Queued(QueuePosition { position: 2, eta: Duration::from_millis(1234) }),
            Event::Started,
            Event::Step(Progress { step: 10, images: vec![image] }),
            Event::Failed { detail: "It failed.".into() },
        ]
        .into_iter()
        .map(Arc::new)
        .collect();
        let log = EventLog { events, tokens: vec![(3, vec![vec![0, 511], vec![7, 8]])] };
        assert_eq!(EventLog::decode(&log.encode().unwrap()).unwrap(), log);
        assert!(EventLog::decode(&[]).is_err() && EventLog::decode(&[VERSION + 1]).is_err());
    }
}

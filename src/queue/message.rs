//! What gateways and workers send each other: payloads with a version, checked when they are read.
//!
//! A payload is a JSON object and files beside it: the length of the JSON as 4 bytes, the JSON, and the files one after the
//! other, whose lengths are in the JSON. So a preview costs its own bytes only.

use bytes::{BufMut, Bytes, BytesMut};
use image::{DynamicImage, ImageFormat};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::engine::{
    ClientId, FinishedImage, JobEnd, ModelHandle, Request, SerializedRequest, StepImage, StepPreview,
    Tokenized, TokenizedStep,
};
use crate::model::{Alternatives, Caption, Config, Guess};

/// The version of the payloads. Increase it with each change that an older program would misread.
pub(super) const VERSION: u32 = 1;

/// The largest number of files in a payload.
const MAX_FILES: usize = 256;
/// The longest text that is kept for the web layer.
const MAX_NOTE: usize = 4096;

/// Why a message isn't used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MessageError {
    #[error("it has version {0} of the format; this program reads version {VERSION}")]
    Version(u32),
    #[error("it is malformed: {0}")]
    Malformed(String),
    #[error("it is for the model {model} in version {version}, which is not served here")]
    Model { model: String, version: String },
    #[error("it doesn't fit its job: {0}")]
    Invalid(&'static str),
}

/// The part of every payload that says how to read the rest.
#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    v: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    files: Vec<u32>,
    content: T,
}

#[derive(Deserialize)]
struct AnyVersion {
    v: u32,
}

/// A payload of this content and these files.
pub(super) fn encode<T: Serialize>(content: &T, files: &[Bytes]) -> Result<Bytes, MessageError> {
    let lengths = files.iter().map(|file| file.len() as u32).collect();
    let json = serde_json::to_vec(&Envelope { v: VERSION, files: lengths, content });
    let json = json.map_err(|error| MessageError::Malformed(error.to_string()))?;
    let mut payload = BytesMut::with_capacity(4 + json.len() + files.iter().map(Bytes::len).sum::<usize>());
    payload.put_u32_le(json.len() as u32);
    payload.put_slice(&json);
    files.iter().for_each(|file| payload.put_slice(file));
    Ok(payload.freeze())
}

/// The content and the files of a payload.
pub(super) fn decode<T: DeserializeOwned>(payload: &Bytes) -> Result<(T, Vec<Bytes>), MessageError> {
    let malformed = |reason: &str| MessageError::Malformed(reason.into());
    let (length, rest) = payload.split_first_chunk().ok_or_else(|| malformed("it is too short"))?;
    let length = u32::from_le_bytes(*length) as usize;
    let json = rest.get(..length).ok_or_else(|| malformed("it is cut off"))?;
    let read = |error: serde_json::Error| MessageError::Malformed(error.to_string());
    let AnyVersion { v } = serde_json::from_slice(json).map_err(read)?;
    if v != VERSION {
        return Err(MessageError::Version(v));
    }
    let Envelope { files: lengths, content, .. } =
        serde_json::from_slice::<Envelope<T>>(json).map_err(read)?;
    if lengths.len() > MAX_FILES {
        return Err(malformed("it has too many files"));
    }
    let mut at = 4 + length;
    let mut files = Vec::with_capacity(lengths.len());
    for length in lengths {
        let end = at + length as usize;
        if end > payload.len() {
            return Err(malformed("a file is cut off"));
        }
        files.push(payload.slice(at..end));
        at = end;
    }
    if at != payload.len() {
        return Err(malformed("it is longer than its files"));
    }
    Ok((content, files))
}

/// A request, as a message has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RequestMessage {
    #[serde(flatten)]
    request: SerializedRequest,
    version: String,
    /// Hashes of the client's group and name: enough to share what is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<(String, Option<String>)>,
}

impl RequestMessage {
    /// The message of a request.
    pub fn new(request: &Request) -> Result<Self, MessageError> {
        let client = request.client().map(|client| {
            let (group, member) = client.names();
            (hash(group), member.map(hash))
        });
        let version = request.model().version.clone();
        let request = SerializedRequest::new(request);
        let request = request.map_err(|error| MessageError::Malformed(error.to_string()))?;
        Ok(Self { request, version, client })
    }

    /// The request, checked like that of a client.
    pub fn request(self, models: &[ModelHandle]) -> Result<Request, MessageError> {
        let Self { request, version, client } = self;
        let model = request.model();
        if !models.iter().any(|known| known.name() == model && known.version == version) {
            return Err(MessageError::Model { model: model.to_owned(), version });
        }
        let client = client.map(|(group, member)| {
            let group = ClientId::new(group);
            match member {
                Some(member) => group.with_member(member),
                None => group,
            }
        });
        let request = request.read(models).map_err(|error| MessageError::Malformed(error.to_string()))?;
        Ok(request.with_client(client))
    }
}

/// An entry of the events' stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum EventMessage {
    /// A gateway accepted a job.
    Accepted {
        request: Box<RequestMessage>,
        position: u32,
        eta_ms: u64,
        note: String,
        /// The hash of the body, where the client sent an idempotency key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
    },
    /// The job waits at another position.
    Position { position: u32, eta_ms: u64 },
    /// A worker has started an image.
    Started {
        image: u32,
        /// Different for each attempt to draw the image. A worker of an earlier release doesn't tell.
        #[serde(default)]
        run: u32,
        worker: String,
        device: String,
        /// From 1.
        #[serde(rename = "delivery")]
        attempt: u32,
    },
    /// An image has taken a step. The files are both previews, if the job has them, and the image after the last step.
    Step {
        step: u32,
        image: u32,
        #[serde(default)]
        run: u32,
        tokens: Vec<u32>,
        entropy: Vec<f32>,
        probability: Vec<f32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alternatives: Option<(Vec<u32>, Vec<f32>, Vec<u32>)>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        given: Vec<bool>,
        /// All T grids of the image, after the last step.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grids: Option<Vec<Vec<u32>>>,
    },
    /// The job has ended before all of its images were finished.
    Ended { end: JobEnd },
}

/// A step of an image, and its file after the last.
pub(super) struct StepReport {
    /// The attempt to draw the image.
    pub run: u32,
    pub step: usize,
    pub image: StepImage,
    pub finished: Option<FinishedImage>,
}

impl StepReport {
    /// The message and its files.
    pub fn message(self) -> (EventMessage, Vec<Bytes>) {
        let Self { run, step, image, finished } = self;
        let previews = image.preview.into_iter().flat_map(|preview| [preview.noisy, preview.clean]);
        let grids = finished.as_ref().and_then(|finished| finished.tokens.as_deref()).map(<[_]>::to_vec);
        let files = match finished {
            // After the last step both previews are the image.
            Some(finished) => vec![finished.png],
            None => previews.collect(),
        };
        let alternatives = image.alternatives.map(|found| (found.codes, found.probabilities, found.ranks));
        let message = EventMessage::Step {
            step: step as u32,
            image: image.index,
            run,
            tokens: image.tokens,
            entropy: image.entropy,
            probability: image.probability,
            alternatives,
            given: image.given,
            grids,
        };
        (message, files)
    }

    /// Reads the content of an [`EventMessage::Step`] of a job with this request, and checks it.
    pub fn read(message: EventMessage, files: &[Bytes], request: &Request) -> Result<Self, MessageError> {
        let EventMessage::Step { step, image, run, tokens, entropy, probability, alternatives, given, grids } =
            message
        else {
            return Err(MessageError::Invalid("it is no step"));
        };
        let config = &request.model().config;
        let ensure = |holds, what| if holds { Ok(()) } else { Err(MessageError::Invalid(what)) };
        let (step, positions) = (step as usize, config.latent.grid * config.latent.grid);
        ensure((1..=config.steps()).contains(&step), "its step is out of range")?;
        ensure(image < request.count(), "its image is out of range")?;
        ensure(is_grid(&tokens, positions, config), "its tokens are no token grid of the model")?;
        let is_valid = |values: &[f32]| values.iter().all(|value| value.is_finite() && *value >= 0.0);
        let lengths = entropy.len() == positions && probability.len() == positions;
        ensure(lengths && is_valid(&entropy) && is_valid(&probability), "its probabilities are invalid")?;
        ensure(alternatives.is_some() == request.alternatives(), "its alternatives weren't asked for")?;
        let are_grids = |grids: &Vec<Vec<u32>>| {
            grids.len() == config.steps() && grids.iter().all(|grid| is_grid(grid, positions, config))
        };
        ensure(grids.as_ref().is_none_or(are_grids), "its grids are no token grids of the model")?;
        ensure(given.is_empty() || given.len() == positions, "its given codes don't fit the grid")?;
        let alternatives =
            alternatives.map(|(codes, probabilities, ranks)| Alternatives { codes, probabilities, ranks });
        if let Some(found) = &alternatives {
            let per_position = found.codes.len() / positions.max(1);
            let lengths = found.codes.len() == per_position * positions
                && found.codes.len() == found.probabilities.len()
                && per_position <= config.trajectory.codes;
            let codes = found.codes.iter().all(|&code| (code as usize) < config.trajectory.codes);
            let ranks = found.ranks.len() == positions
                && found.ranks.iter().all(|&rank| (1..=config.trajectory.codes).contains(&(rank as usize)));
            ensure(
                lengths && codes && ranks && is_valid(&found.probabilities),
                "its alternatives are invalid",
            )?;
        }
        let (preview, finished) = match (step == config.steps(), files) {
            (true, [png]) => {
                let preview = || StepPreview { noisy: png.clone(), clean: png.clone() };
                let tokens = grids.map(Into::into);
                (
                    request.previews().then(preview),
                    Some(FinishedImage { index: image, png: png.clone(), tokens }),
                )
            }
            (false, []) if !request.previews() => (None, None),
            (false, [noisy, clean]) if request.previews() => {
                (Some(StepPreview { noisy: noisy.clone(), clean: clean.clone() }), None)
            }
            _ => return Err(MessageError::Invalid("its pictures are missing, or weren't asked for")),
        };
        for file in files {
            check_png(file, config)?;
        }
        let image = StepImage { index: image, tokens, entropy, probability, alternatives, given, preview };
        Ok(Self { run, step, image, finished })
    }
}

/// An image of a job that is to be drawn.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ImageTask {
    pub job: String,
    pub image: u32,
    pub request: RequestMessage,
}

/// A request to tokenize the image in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TokenizeTask {
    pub seed: u64,
}

/// The result of a [`TokenizeTask`]. The files are the input and both previews of each step.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TokenizeReply {
    Tokens {
        grids: Vec<Vec<u32>>,
        /// Names and words with their probabilities.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        caption: Option<[Vec<(String, f32)>; 2]>,
    },
    /// The worker could not tokenize it.
    Failed,
    /// The worker has too much to tokenize.
    Full { waiting: usize },
}

/// The reply to a request that was tokenized.
pub(super) fn tokenize_reply(tokenized: Tokenized) -> Result<Bytes, MessageError> {
    let mut files = vec![tokenized.input];
    let mut tokens = Vec::with_capacity(tokenized.steps.len());
    for step in tokenized.steps {
        tokens.push(step.tokens);
        files.extend([step.preview.noisy, step.preview.clean]);
    }
    let texts =
        |guesses: Vec<Guess>| guesses.into_iter().map(|guess| (guess.text, guess.probability)).collect();
    let caption = tokenized.caption.map(|caption| [texts(caption.names), texts(caption.words)]);
    encode(&TokenizeReply::Tokens { grids: tokens, caption }, &files)
}

/// Reads the files of a reply with these token grids, and checks both.
pub(super) fn read_tokenized(
    grids: Vec<Vec<u32>>,
    caption: Option<[Vec<(String, f32)>; 2]>,
    files: &[Bytes],
    config: &Config,
) -> Result<Tokenized, MessageError> {
    let caption = caption.map(|caption| read_caption(caption, config)).transpose()?;
    let positions = config.latent.grid * config.latent.grid;
    let has_files = files.len() == 1 + 2 * grids.len();
    if !has_files
        || grids.len() != config.steps()
        || !grids.iter().all(|grid| is_grid(grid, positions, config))
    {
        return Err(MessageError::Invalid("it has no token grids of the model"));
    }
    files.iter().try_for_each(|file| check_png(file, config))?;
    let previews = files[1..].chunks_exact(2);
    let step = |(tokens, preview): (Vec<u32>, &[Bytes])| TokenizedStep {
        tokens,
        preview: StepPreview { noisy: preview[0].clone(), clean: preview[1].clone() },
    };
    let steps = grids.into_iter().zip(previews).map(step).collect();
    Ok(Tokenized { input: files[0].clone(), resized_from: None, steps, caption })
}

/// Reads names and words, which must be the model's own.
fn read_caption([names, words]: [Vec<(String, f32)>; 2], config: &Config) -> Result<Caption, MessageError> {
    let vocabulary = &config.vocabulary;
    let subjects = || (0..config.classes.len()).flat_map(|class| vocabulary.subjects(class));
    let is_name = |text: &str| subjects().any(|subject| subject.name == text);
    let is_word = |text: &str| vocabulary.words().iter().any(|word| word == text);
    let is_probability = |guesses: &[(String, f32)]| guesses.iter().all(|(_, it)| (0.0..=1.0).contains(it));
    let is_valid = names.len().max(words.len()) <= MAX_FILES
        && names.iter().all(|(text, _)| is_name(text))
        && words.iter().all(|(text, _)| is_word(text))
        && is_probability(&names)
        && is_probability(&words);
    let guesses = |guesses: Vec<(String, f32)>| {
        guesses.into_iter().map(|(text, probability)| Guess { text, probability }).collect()
    };
    if is_valid {
        Ok(Caption { names: guesses(names), words: guesses(words) })
    } else {
        Err(MessageError::Invalid("its caption has other words than the model"))
    }
}

/// Whether a text is short enough to be kept with a job.
pub(super) fn is_valid_note(note: &str) -> bool {
    note.len() <= MAX_NOTE
}

/// The first 128 bits of a hash, as hexadecimal digits: a name for a secret.
pub(super) fn hash(text: &str) -> String {
    Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn is_grid(tokens: &[u32], positions: usize, config: &Config) -> bool {
    tokens.len() == positions && tokens.iter().all(|&code| (code as usize) < config.trajectory.codes)
}

/// Whether a file is a PNG file of the model's size, of at most as many bytes as that needs.
fn check_png(file: &Bytes, config: &Config) -> Result<(), MessageError> {
    let size = config.image.size as u32;
    let reader = image::ImageReader::with_format(std::io::Cursor::new(file.as_ref()), ImageFormat::Png);
    let has_size = reader.into_dimensions().is_ok_and(|found| found == (size, size));
    // Uncompressed 8-bit pixels, and room for the texts.
    let limit = 4 * (size * size) as usize + 64 * 1024;
    if has_size && file.len() <= limit {
        Ok(())
    } else {
        Err(MessageError::Invalid("a picture is no PNG file of the model's size"))
    }
}

/// Decodes a PNG file of the model's size.
pub(super) fn read_png(file: &Bytes, config: &Config) -> Result<DynamicImage, MessageError> {
    check_png(file, config)?;
    image::load_from_memory_with_format(file, ImageFormat::Png)
        .map_err(|error| MessageError::Malformed(error.to_string()))
}

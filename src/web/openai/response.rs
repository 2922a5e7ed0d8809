//! The answer of `POST /v1/images/generations`.

use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::{ModelInfo, Request};
use crate::web::files::RenderOptions;

/// The images.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiImages)]
pub(super) struct Images {
    /// Unix time in seconds.
    pub created: u64,
    pub data: Vec<Image>,
    #[serde(flatten)]
    pub kind: Kind,
    pub usage: Usage,
    /// The seed that was used (not OpenAI's).
    pub seed: u64,
    /// What was adapted or ignored (not OpenAI's).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// One image: as a file or as an address.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiImage)]
pub(super) struct Image {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b64_json: Option<String>,
    /// A link that needs no key and expires with the generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The class that was drawn; of a model that is told words the subject and the style.
    pub revised_prompt: String,
}

/// What kind of pictures these are.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OpenAiKind)]
pub(super) struct Kind {
    /// `opaque`
    background: &'static str,
    /// `png`, `webp` or `jpeg`
    output_format: &'static str,
    /// `high`
    quality: &'static str,
    /// Width and height.
    size: String,
}

/// Tokens read and drawn.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OpenAiUsage)]
pub(super) struct Usage {
    /// Words that the model was told of each image; 1, the class, without a prompt.
    input_tokens: u64,
    input_tokens_details: TokenDetails,
    /// Codes drawn: one for each position of the token grid at each step of each image.
    output_tokens: u64,
    output_tokens_details: TokenDetails,
    total_tokens: u64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OpenAiTokenDetails)]
struct TokenDetails {
    image_tokens: u64,
    text_tokens: u64,
}

impl Kind {
    pub fn new(info: &ModelInfo, options: RenderOptions) -> Self {
        let (width, height) = options.size(info.config.image.size as u32);
        Self {
            background: "opaque",
            output_format: options.format.name(),
            quality: "high",
            size: format!("{width}x{height}"),
        }
    }
}

impl Usage {
    pub fn new(request: &Request) -> Self {
        let config = &request.model().config;
        let codes = (config.latent.grid.pow(2) * config.steps()) as u64 * u64::from(request.count());
        let words = request.settings().condition().words.len().max(1) as u64;
        Self {
            input_tokens: words,
            input_tokens_details: TokenDetails { image_tokens: 0, text_tokens: words },
            output_tokens: codes,
            output_tokens_details: TokenDetails { image_tokens: codes, text_tokens: 0 },
            total_tokens: codes + words,
        }
    }
}

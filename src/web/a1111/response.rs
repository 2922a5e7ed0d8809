//! The answer of `POST /sdapi/v1/txt2img` and `/sdapi/v1/img2img`.

use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::image_request::{ImageRequest, Kind};
use super::infotext::SAMPLER;
use super::models;
use super::time::timestamp;

/// The images.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = A1111Images)]
pub(super) struct Images {
    /// PNG files in base64. The text `parameters` in each says how it was made.
    pub images: Vec<String>,
    /// What was asked for, without the images.
    #[schema(value_type = Object)]
    pub parameters: Value,
    /// JSON as text: what was drawn, with `seed`, `all_seeds` and `infotexts`.
    pub info: String,
    /// What was adapted or ignored (not AUTOMATIC1111's).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub warnings: Vec<String>,
}

/// What was drawn.
pub(super) struct Info(Value);

impl Info {
    pub fn new(request: &ImageRequest, seeds: Vec<u64>, infotexts: Vec<String>) -> Self {
        let (draft, model) = (&request.draft, request.job.model());
        let (width, height) = request.options.size(model.config.image.size as u32);
        let count = seeds.len();
        Self(json!({
            "prompt": draft.prompt, "all_prompts": vec![&draft.prompt; count],
            "negative_prompt": draft.negative_prompt, "all_negative_prompts": vec![&draft.negative_prompt; count],
            "seed": request.job.seed(), "all_seeds": seeds,
            "subseed": -1, "all_subseeds": vec![-1; count], "subseed_strength": 0,
            "width": width, "height": height,
            "sampler_name": SAMPLER, "cfg_scale": request.job.settings().options().guidance, "steps": model.steps(),
            "batch_size": draft.batch_size, "restore_faces": false, "face_restoration_model": null,
            "sd_model_name": model.name(), "sd_model_hash": models::hash(model),
            "sd_vae_name": null, "sd_vae_hash": null,
            "seed_resize_from_w": -1, "seed_resize_from_h": -1,
            "denoising_strength": (request.kind == Kind::ImageToImage).then_some(draft.strength),
            "extra_generation_params": {}, "index_of_first_image": 0, "infotexts": infotexts,
            "styles": draft.style.as_slice(), "job_timestamp": timestamp(SystemTime::now()), "clip_skip": 1,
            "is_using_inpainting_conditioning": false, "version": format!("rdpm {}", env!("CARGO_PKG_VERSION")),
        }))
    }

    pub fn to_text(&self) -> String {
        self.0.to_string()
    }
}

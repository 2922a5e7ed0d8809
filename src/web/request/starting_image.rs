//! What a generation starts from: decodes its image and its mask, and applies them, or an earlier generation, to the job.

use super::upload::{open_image, open_mask};
use crate::engine::{ModelHandle, Request};
use crate::picture::MaskRules;
use crate::request::{FieldError, FreeCells, GenerationRequest, InitImageFile};
use crate::web::access::{Budget, Cost};
use crate::web::files::ImagePool;
use crate::web::problem::Problem;

/// The job of a request, and warnings of what was adapted. Charges `cost`, which is that of all other work of the request, and
/// the pixels of the image and the mask.
///
/// # Errors
/// 422 where the image or the mask can't be used, or the mask keeps everything; 429 where the request costs too much; 503
/// where too many images wait.
pub(in crate::web) async fn starting_job(
    decoders: &ImagePool,
    budget: &Budget,
    cost: Cost,
    request: GenerationRequest,
) -> Result<(Request, Vec<String>), Problem> {
    let GenerationRequest { mut job, init_image, branch, free, .. } = request;
    let mut warnings = Vec::new();
    let (free, free_of_branch) = if branch.is_some() { (None, free) } else { (free, None) };
    if let Some(InitImageFile { file, from_step }) = init_image {
        let (size, image) = open_image(decoders, budget, cost, file, "image", job.model()).await?;
        job = match free {
            None => job.with_init_image(&image, from_step)?,
            Some(free) => {
                let free = free_cells(decoders, budget, free, size, job.model(), &mut warnings).await?;
                job.with_edit(&image, from_step, free)?
            }
        };
    } else {
        budget.charge(cost)?;
    }
    if let Some(branch) = branch {
        let size = job.model().config.image.size as u32;
        let free = match free_of_branch {
            None => None,
            Some(free) => {
                Some(free_cells(decoders, budget, free, (size, size), job.model(), &mut warnings).await?)
            }
        };
        job = branch.apply(job, free.as_deref()).map_err(Problem::invalid)?;
    }
    Ok((job, warnings))
}

/// The cells that are drawn again of an image of this size.
///
/// # Errors
/// 422 where the mask is not an image, one that is too large, or one that keeps everything; 429 where it costs too much.
async fn free_cells(
    decoders: &ImagePool,
    budget: &Budget,
    free: FreeCells,
    image_size: (u32, u32),
    model: &ModelHandle,
    warnings: &mut Vec<String>,
) -> Result<Vec<bool>, Problem> {
    let cells = match free {
        FreeCells::Cells(cells) => return Ok(cells),
        FreeCells::Mask(file) => {
            let (cells, warning) =
                open_mask(decoders, budget, file, MaskRules::default(), image_size, model).await?;
            warnings.extend(warning);
            cells
        }
    };
    if cells.contains(&true) {
        return Ok(cells);
    }
    let allowed = "a mask that draws at least one cell again: transparent or, if it is opaque, white there";
    Err(Problem::invalid(FieldError::new("mask", "a mask that keeps everything".into(), allowed)))
}

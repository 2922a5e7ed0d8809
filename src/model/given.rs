//! Codes that are given instead of drawn.

use super::config::Config;
use super::error::ModelError;

/// A constraint on the sampler: for each step and each position a code, or nothing where the sampler draws.
///
/// All free is generation, all given is decoding. Steps up to k given is a variation from step k, and some positions given
/// at all steps is inpainting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// T · n entries, step by step.
    codes: Vec<Option<u32>>,
    /// n
    positions: usize,
    is_shown: bool,
}

impl Given {
    /// A constraint from T grids of n entries each, row by row.
    ///
    /// # Errors
    /// [`ModelError::Setting`] for the field `tokens` if there are more or fewer than T grids or n entries, or a code isn't
    /// below V.
    pub fn new(config: &Config, grids: &[Vec<Option<u32>>]) -> Result<Self, ModelError> {
        let (steps, positions, codes) = (config.steps(), config.positions(), config.trajectory.codes);
        let error =
            |value: String, allowed: String| Err(ModelError::Setting { field: "tokens", value, allowed });
        let shape = || {
            let side = config.latent.grid;
            format!("{steps} grids of {side} × {side} codes from 0 to {}, or null for a free one", codes - 1)
        };
        if grids.len() != steps {
            return error(format!("{} grids", grids.len()), shape());
        }
        if let Some(grid) = grids.iter().find(|grid| grid.len() != positions) {
            return error(format!("a grid of {} codes", grid.len()), shape());
        }
        if let Some(code) = grids.iter().flatten().flatten().find(|&&code| code as usize >= codes) {
            return error(format!("code {code}"), shape());
        }
        Ok(Self { codes: grids.concat(), positions, is_shown: false })
    }

    /// The codes that are kept of an image, C_1 … C_T: those of the first `steps` steps and, where `free` positions are given
    /// (n entries), those of the other positions at all steps, which the denoiser then [sees](Self::shown).
    ///
    /// # Errors
    /// As in [`Given::new`].
    pub fn kept(
        config: &Config,
        grids: &[Vec<u32>],
        steps: usize,
        free: Option<&[bool]>,
    ) -> Result<Self, ModelError> {
        let is_outside = |position: usize| free.is_some_and(|free| free.get(position) == Some(&false));
        let codes: Vec<Vec<Option<u32>>> = (1..)
            .zip(grids)
            .map(|(t, grid)| {
                let entries = grid.iter().enumerate();
                entries.map(|(i, &code)| (t <= steps || is_outside(i)).then_some(code)).collect()
            })
            .collect();
        let given = Self::new(config, &codes)?;
        Ok(if free.is_some() { given.shown() } else { given })
    }

    /// Sets that the denoiser sees z_t instead of z_{t−1} where C_t is given in part. Drawn codes then fit the given ones
    /// better (`docs/tokens.md` has figures), but the probabilities of given codes mean nothing and are 1.
    pub fn shown(self) -> Self {
        Self { is_shown: true, ..self }
    }

    /// Whether the denoiser sees the given codes of a step.
    pub fn is_shown(&self) -> bool {
        self.is_shown
    }

    /// The n entries of a step t in 1..=T.
    pub fn step(&self, t: usize) -> &[Option<u32>] {
        &self.codes[(t - 1) * self.positions..t * self.positions]
    }

    /// The number of steps, from the first on, whose codes are all given: 0..=T.
    pub fn leading_steps(&self) -> usize {
        let is_whole = |grid: &&[Option<u32>]| grid.iter().all(Option::is_some);
        self.codes.chunks(self.positions).take_while(is_whole).count()
    }

    /// The T · n entries, step by step.
    pub fn codes(&self) -> &[Option<u32>] {
        &self.codes
    }

    /// The T grids, if no entry is free.
    pub fn tokens(&self) -> Option<Vec<Vec<u32>>> {
        self.codes.chunks(self.positions).map(|grid| grid.iter().copied().collect()).collect()
    }
}

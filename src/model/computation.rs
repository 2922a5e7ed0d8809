//! How a model computes.

use super::pass_count::PassCount;
use super::precision::Precision;

/// How a model computes: what determines its pictures besides the request and the files. Default: f32, two passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Computation {
    pub precision: Precision,
    pub passes: PassCount,
}

impl From<Precision> for Computation {
    /// In two passes.
    fn from(precision: Precision) -> Self {
        Self { precision, passes: PassCount::Two }
    }
}

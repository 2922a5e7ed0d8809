//! Ranges of settings, with their wording in error messages.

use std::fmt;

use super::error::ModelError;

/// Numbers from `min` to `max`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NumberRange {
    pub min: f64,
    pub max: f64,
    /// Whether `min` itself is excluded.
    pub above_min: bool,
}

/// Integers from `min` to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntegerRange {
    pub min: u64,
    pub max: u64,
}

impl NumberRange {
    /// Numbers from `min` to `max`, both included.
    pub const fn new(min: f64, max: f64) -> Self {
        Self { min, max, above_min: false }
    }

    /// Numbers above `min`, up to and including `max`.
    pub const fn above(min: f64, max: f64) -> Self {
        Self { min, max, above_min: true }
    }

    /// False for NaN.
    pub fn contains(&self, number: f64) -> bool {
        (if self.above_min { number > self.min } else { number >= self.min }) && number <= self.max
    }

    pub(super) fn check(&self, field: &'static str, number: f64) -> Result<(), ModelError> {
        check(field, number, self.contains(number), self)
    }
}

impl IntegerRange {
    pub const fn new(min: u64, max: u64) -> Self {
        Self { min, max }
    }

    pub fn contains(&self, number: u64) -> bool {
        (self.min..=self.max).contains(&number)
    }

    pub(super) fn check(&self, field: &'static str, number: u64) -> Result<(), ModelError> {
        check(field, number, self.contains(number), self)
    }
}

impl fmt::Display for NumberRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, max, above_min } = self;
        if *above_min {
            write!(f, "numbers above {min}, up to {max}")
        } else {
            write!(f, "numbers from {min} to {max}")
        }
    }
}

impl fmt::Display for IntegerRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "integers from {} to {}", self.min, self.max)
    }
}

fn check(
    field: &'static str,
    value: impl fmt::Display,
    is_allowed: bool,
    allowed: impl fmt::Display,
) -> Result<(), ModelError> {
    if is_allowed {
        Ok(())
    } else {
        Err(ModelError::Setting { field, value: value.to_string(), allowed: allowed.to_string() })
    }
}

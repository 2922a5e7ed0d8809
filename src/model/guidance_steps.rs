//! The steps that are guided.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A range of steps, as the text `FIRST-LAST`. Only these are guided; in the others the guidance scale is 1, which takes one
/// pass of the denoiser in place of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GuidanceSteps {
    first: usize,
    last: usize,
}

impl GuidanceSteps {
    /// `None` unless 1 ≤ first ≤ last.
    pub fn new(first: usize, last: usize) -> Option<Self> {
        (1 <= first && first <= last).then_some(Self { first, last })
    }

    /// Whether step t, from 1 on, is guided.
    pub fn contains(self, t: usize) -> bool {
        (self.first..=self.last).contains(&t)
    }

    /// The last guided step.
    pub fn last(self) -> usize {
        self.last
    }

    /// What a model of this many steps allows.
    pub fn allowed(steps: usize) -> String {
        format!("two steps from 1 to {steps} as FIRST-LAST, such as 1-{}", (steps * 7 / 10).max(1))
    }

    /// Reads the text, for a model of this many steps.
    ///
    /// # Errors
    /// What is allowed.
    pub fn parse(text: &str, steps: usize) -> Result<Self, String> {
        let parsed = text.parse::<Self>().ok().filter(|range| range.last <= steps);
        parsed.ok_or_else(|| Self::allowed(steps))
    }
}

impl fmt::Display for GuidanceSteps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for GuidanceSteps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text
            .split_once('-')
            .and_then(|(first, last)| Some((first.trim().parse().ok()?, last.trim().parse().ok()?)));
        let range = numbers.and_then(|(first, last)| Self::new(first, last));
        range.ok_or_else(|| format!("{text:?} is no range of steps such as 1-7"))
    }
}

impl TryFrom<String> for GuidanceSteps {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<GuidanceSteps> for String {
    fn from(range: GuidanceSteps) -> Self {
        range.to_string()
    }
}

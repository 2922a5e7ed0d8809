//! The query string of an address: all invalid parameters are reported at once.

use axum::extract::{FromRequestParts, Query as Pairs};
use axum::http::request::Parts;
use serde_json::Value;

use crate::request::{FieldError, FieldErrors};
use crate::web::problem::Problem;

/// The parameters that were not read yet, and the errors of those that were.
#[derive(Debug, Default)]
pub(in crate::web) struct Query {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    errors: FieldErrors,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // Any query can be read as pairs of text.
        let pairs = Pairs::from_request_parts(parts, state).await.map(|Pairs(pairs)| pairs);
        Ok(Self { pairs: pairs.unwrap_or_default(), ..Self::default() })
    }
}

impl Query {
    /// A parameter's parsed value; `None` where it is absent or invalid.
    pub fn take<T>(
        &mut self,
        name: &'static str,
        allowed: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.known.push(name);
        let at = self.pairs.iter().position(|(key, _)| key == name)?;
        let (_, value) = self.pairs.remove(at);
        let parsed = parse(&value);
        if parsed.is_none() {
            self.errors.push(|| FieldError::new(name, Value::String(value), allowed));
        }
        parsed
    }

    /// An integer of a range.
    pub fn integer(&mut self, name: &'static str, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
        let allowed = format!("integers from {} to {}", range.start(), range.end());
        self.take(name, &allowed, |value| {
            let is_plain = value.bytes().all(|byte| byte.is_ascii_digit());
            value.parse().ok().filter(|number| is_plain && range.contains(number))
        })
    }

    /// Whether a parameter that was taken is invalid.
    pub fn is_invalid(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Ends reading: parameters that are left are unknown or repeated.
    ///
    /// # Errors
    /// 422 with the invalid parameters.
    pub fn finish(mut self) -> Result<(), Problem> {
        for (key, value) in std::mem::take(&mut self.pairs) {
            let allowed = || match self.known.as_slice() {
                known if known.contains(&key.as_str()) => "the parameter once".into(),
                [] => "no parameters".into(),
                known => format!("the parameters {}", known.join(", ")),
            };
            self.errors.push(|| FieldError::new(&key, Value::String(value), allowed()));
        }
        Ok(self.errors.into_result()?)
    }
}

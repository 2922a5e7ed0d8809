//! The part of an address after `?`, checked like a body: once, and everything wrong with it at once.

use axum::extract::{FromRequestParts, Query as Pairs};
use axum::http::request::Parts;
use serde_json::Value;

use super::problem::{FieldError, Problem};

/// The parameters of a query that nobody asked for yet, and what was wrong with the others.
#[derive(Debug, Default)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // Pairs of texts can be read from any query.
        let pairs = Pairs::from_request_parts(parts, state).await.map(|Pairs(pairs)| pairs);
        Ok(Self { pairs: pairs.unwrap_or_default(), ..Self::default() })
    }
}

impl Query {
    /// A parameter's value as `parse` reads it; `None` where it is silent or refused.
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
            self.refuse(name, value, allowed);
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

    /// What is left was asked for by nobody, or is there twice.
    pub fn finish(mut self) -> Result<(), Problem> {
        for (key, value) in std::mem::take(&mut self.pairs) {
            let allowed = match self.known.as_slice() {
                known if known.contains(&key.as_str()) => "the parameter once".into(),
                [] => "no parameters".into(),
                known => format!("the parameters {}", known.join(", ")),
            };
            self.refuse(&key, value, &allowed);
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }

    fn refuse(&mut self, field: &str, value: String, allowed: &str) {
        self.errors.push(FieldError {
            field: field.into(),
            value: Value::String(value),
            allowed: allowed.into(),
        });
    }
}

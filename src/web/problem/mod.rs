//! Errors as clients get them. Everything answers errors with a [`Problem`]; what shape it has on the wire depends on the
//! address: RFC 9457 problem details (`details`), or OpenAI's below `/v1/` (`openai`). `error_format` gives both shapes also
//! to errors that libraries answered; `engine_errors` says what the engine's errors are as problems.
//!
//! Knows no handler.

mod details;
mod engine_errors;
mod error_format;
mod openai;

pub(super) use details::Problem;
pub(super) use error_format::format_errors;
pub(super) use openai::{OpenAiError, is_openai_path};

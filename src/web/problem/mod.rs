//! Errors as clients get them. Everything answers errors with a [`Problem`]; what shape it has on the wire depends on the
//! address: RFC 9457 problem details (`details`), OpenAI's below `/v1/` (`openai`), or AUTOMATIC1111's below `/sdapi/` (`a1111`).
//! `error_format` gives these shapes also to errors that libraries answered; `engine_errors` says what the engine's errors are as problems.
//!
//! Knows no handler.

mod a1111;
mod details;
mod engine_errors;
mod error_format;
mod openai;

pub(super) use a1111::{A1111Error, is_a1111_path};
pub(super) use details::Problem;
pub(super) use error_format::format_errors;
pub(super) use openai::{OpenAiError, is_openai_path};

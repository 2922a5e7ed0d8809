//! The shape of error responses, by address.

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::a1111::{a1111_response, is_a1111_path};
use super::details::Problem;
use super::openai::{is_openai_path, openai_response};

/// Middleware that gives every error the shape for its address, also errors that libraries answered (wrong method, body too
/// large, timeout, panic). Headers are kept, such as `Allow`.
pub(in crate::web) async fn format_errors(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let (is_openai, is_a1111) = (is_openai_path(path), is_a1111_path(path));
    let mut response = next.run(request).await;
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let problem = response.extensions_mut().remove::<Problem>();
    if problem.is_some() && !is_openai && !is_a1111 {
        return response;
    }
    let mut formatted = if is_a1111 {
        a1111_response(status, problem.as_ref(), detail_for(status))
    } else {
        let problem = problem.unwrap_or_else(|| Problem::new(status, detail_for(status)));
        if is_openai { openai_response(&problem) } else { problem.into_response() }
    };
    for (name, value) in response.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH && name != header::CACHE_CONTROL {
            formatted.headers_mut().append(name, value.clone());
        }
    }
    formatted
}

fn detail_for(status: StatusCode) -> &'static str {
    match status {
        StatusCode::FORBIDDEN => {
            "This origin is not allowed. Add it to the server's allowed origins (--cors-origin)."
        }
        StatusCode::NOT_FOUND => "There is nothing at this address.",
        StatusCode::METHOD_NOT_ALLOWED => {
            "This method is not allowed here; the Allow header lists the methods that are."
        }
        StatusCode::REQUEST_TIMEOUT => "The request body took too long to arrive.",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            "This Content-Encoding is not supported. Send the body plain, or with gzip, deflate, br or zstd."
        }
        StatusCode::PAYLOAD_TOO_LARGE => "The request body is too large.",
        _ if status.is_server_error() => "The server failed to answer. The fault has been logged.",
        _ => "The request can't be understood.",
    }
}

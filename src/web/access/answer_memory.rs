//! The memory of answers that clients have not read yet.
//!
//! A connection buffers little, but a large answer is in memory as a whole until its last piece is sent. Many clients that
//! read slowly, or not at all, would otherwise hold any amount.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use tokio::sync::Semaphore;

use super::client_address::ClientAddress;
use super::client_permits::{ClientPermit, ClientPermits};
use crate::web::problem::Problem;

/// Shorter answers are not counted: the buffers of a connection are as large.
const UNCOUNTED: usize = 64 << 10;
/// What is given to a connection at a time, in bytes.
const PIECE: usize = 64 << 10;
/// The unit of permits, in bytes.
const UNIT: usize = 1 << 10;
/// A client's answers may take this part of the memory.
const PART_OF_CLIENT: usize = 2;

/// Marks a response whose body is in memory anyway, and shared by all clients.
#[derive(Debug, Clone, Copy)]
pub(in crate::web) struct SharedBody;

/// Memory for large answers. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::web) struct AnswerMemory {
    /// In units. By network: who has a key is known further inside only.
    free: Arc<ClientPermits<Option<IpAddr>>>,
}

impl AnswerMemory {
    pub fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self { free: Arc::new(ClientPermits::new(units, units.div_ceil(PART_OF_CLIENT))) }
    }

    /// The permits for an answer of so many bytes. One that is larger than all the memory takes all of it, and one that is
    /// larger than its client's part takes all of that.
    fn acquire(&self, client: Option<IpAddr>, bytes: usize) -> Option<ClientPermit> {
        self.free.try_acquire_many(client, bytes.div_ceil(UNIT))
    }
}

/// Middleware that counts large answers until they are sent, and answers 503 where they would take too much memory.
pub(in crate::web) async fn limit_answers(
    State(memory): State<AnswerMemory>,
    request: Request,
    next: Next,
) -> Response {
    let client = ClientAddress::of(request.extensions()).network();
    let response = next.run(request).await;
    let size = response.body().size_hint().exact().and_then(|size| usize::try_from(size).ok());
    let is_shared = response.extensions().get::<SharedBody>().is_some();
    // A stream has no size, and is made as it is read.
    match size.filter(|&size| size > UNCOUNTED && !is_shared) {
        None => response,
        Some(size) => match memory.acquire(client, size) {
            Some(permit) => {
                response.map(|body| Body::new(CountedBody { body, rest: Bytes::new(), _permit: permit }))
            }
            None => Problem::too_many_answers().into_response(),
        },
    }
}

/// A body in pieces: it is dropped, and its permit with it, only when the last piece goes to the connection.
struct CountedBody {
    body: Body,
    rest: Bytes,
    _permit: ClientPermit,
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

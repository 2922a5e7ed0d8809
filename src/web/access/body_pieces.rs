//! The limit of small pieces in request bodies. A body arrives in pieces, for example HTTP/1.1's chunks, and each takes about a
//! microsecond, however short it is: bodies of a few hundred kilobytes in chunks of one byte could keep the server busy.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use http_body::{Frame, SizeHint};

/// Pieces of any length that a body may have.
const FREE_PIECES: u64 = 4096;
/// The length that more pieces must have on average, in bytes: less than a line of base64, as some programs send one at a time.
const MIN_AVERAGE: u64 = 64;

/// A body has too many small pieces.
#[derive(Debug, thiserror::Error)]
#[error("the body comes in too many small pieces")]
pub(in crate::web) struct SmallPieces;

/// Middleware that ends a request's body with [`SmallPieces`] where it has too many.
pub(in crate::web) async fn limit_small_pieces(request: Request) -> Request {
    request.map(|body| Body::new(LimitedPieces { body, pieces: 0, bytes: 0 }))
}

struct LimitedPieces {
    body: Body,
    pieces: u64,
    bytes: u64,
}

impl HttpBody for LimitedPieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(piece) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            self.pieces += 1;
            self.bytes += piece.len() as u64;
            if self.pieces > FREE_PIECES && self.bytes < MIN_AVERAGE * self.pieces {
                return Poll::Ready(Some(Err(axum::Error::new(SmallPieces))));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt;

    use super::*;

    /// The bytes of a body in so many pieces of this length.
    async fn read(pieces: u64, length: usize) -> Result<usize, axum::Error> {
        let pieces = (0..pieces).map(move |_| Ok::<_, axum::Error>(Bytes::from(vec![0; length])));
        let request = limit_small_pieces(Request::new(Body::from_stream(stream::iter(pieces)))).await;
        request.into_body().collect().await.map(|body| body.to_bytes().len())
    }

    #[tokio::test]
    async fn only_many_small_pieces_are_refused() {
        assert_eq!(read(FREE_PIECES, 1).await.unwrap(), 4096);
        assert_eq!(read(2 * FREE_PIECES, 64).await.unwrap(), 512 << 10);
        for (pieces, length) in [(FREE_PIECES + 1, 1), (2 * FREE_PIECES, 63)] {
            let error = read(pieces, length).await.unwrap_err();
            assert_eq!(error.to_string(), SmallPieces.to_string());
        }
    }
}

//! HTTP/2 without TLS, where a client begins with it (prior knowledge), as some proxies do.
//!
//! hyper closes connections of HTTP/1 that are idle, or whose client does not read. For HTTP/2, [`Exchanges`] does.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::server::conn::http2::Builder;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The first bytes of a connection of HTTP/2. No method of HTTP/1 begins with them.
const PREFACE: [u8; 3] = *b"PRI";
/// Requests of a connection at once.
const MAX_REQUESTS: u32 = 32;
/// What is buffered of a response, in bytes.
const BUFFER: usize = 32 * 1024;
/// The largest part of a body that is sent at once, in bytes.
const PART: usize = 16 * 1024;
/// What a client may send before it is read: of a body, and of all bodies of a connection.
const WINDOWS: (u32, u32) = (64 * 1024, 256 * 1024);
/// How much of a body that no handler wants is read, in bytes, and for how long.
const UNWANTED: (usize, Duration) = (64 * 1024, Duration::from_secs(2));
/// Time between two checks that a silent client is there, and time for its answer.
const PING: Duration = Duration::from_secs(20);

/// How connections are served.
pub(super) fn builder(max_head: usize) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(MAX_REQUESTS)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .max_send_buf_size(BUFFER)
        .max_header_list_size(u32::try_from(max_head).unwrap_or(u32::MAX))
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    http
}

/// A connection whose first bytes were read, and are read again.
pub(super) struct Rewound<I> {
    first: Vec<u8>,
    connection: I,
}

impl<I: AsyncRead + Unpin> Rewound<I> {
    /// Reads until it is known whether this is HTTP/2.
    pub async fn detect(mut connection: I) -> io::Result<(bool, Self)> {
        let (mut first, mut length) = ([0; PREFACE.len()], 0);
        while length < first.len() && first[..length] == PREFACE[..length] {
            match connection.read(&mut first[length..]).await? {
                0 => break,
                read => length += read,
            }
        }
        Ok((first == PREFACE, Self { first: first[..length].to_vec(), connection }))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Rewound<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.connection).poll_read(cx, buffer);
        }
        let length = self.first.len().min(buffer.remaining());
        buffer.put_slice(&self.first[..length]);
        self.first.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Rewound<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }
}

/// A request whose body is read even where its handler answers before it was.
///
/// Otherwise the stream is reset after the response, and a client that was still sending, such as curl 7.88, reports an error
/// instead of the response.
pub(super) fn with_body_to_its_end(request: Request) -> Request {
    request.map(|body| if body.is_end_stream() { body } else { Body::new(BodyToItsEnd(body)) })
}

struct BodyToItsEnd(Body);

impl HttpBody for BodyToItsEnd {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Drop for BodyToItsEnd {
    fn drop(&mut self) {
        if self.0.is_end_stream() {
            return;
        }
        let mut body = std::mem::take(&mut self.0);
        let (most, time) = UNWANTED;
        let rest = async move {
            let mut length = 0;
            while let Some(Ok(frame)) = body.frame().await {
                length += frame.data_ref().map_or(0, Bytes::len);
                if length > most {
                    return;
                }
            }
        };
        // There is none while the process ends.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(time, rest));
        }
    }
}

/// The requests of a connection whose responses have not ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Exchanges(Arc<Mutex<Vec<Weak<Exchange>>>>);

/// A request and its response.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// When a part of the response was taken for sending, unless the next one has been asked for.
    taken: Mutex<Option<Instant>>,
}

impl Exchanges {
    /// A new one, which ends when this and the body with it are dropped.
    pub fn begin(&self) -> Arc<Exchange> {
        let exchange = Arc::new(Exchange::default());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&exchange));
        exchange
    }

    /// Resolves when there was none for `idle`, or when the client of one has not read for `unread`.
    pub async fn is_over(&self, idle: Duration, unread: Duration) {
        let mut last = Instant::now();
        loop {
            tokio::time::sleep(idle.min(unread) / 4).await;
            let mut exchanges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            exchanges.retain(|exchange| exchange.strong_count() > 0);
            if !exchanges.is_empty() {
                last = Instant::now();
            }
            if last.elapsed() > idle || exchanges.iter().any(|exchange| is_unread(exchange, unread)) {
                return;
            }
        }
    }
}

fn is_unread(exchange: &Weak<Exchange>, limit: Duration) -> bool {
    let Some(exchange) = exchange.upgrade() else { return false };
    let taken = *exchange.taken.lock().unwrap_or_else(PoisonError::into_inner);
    taken.is_some_and(|taken| taken.elapsed() > limit)
}

impl Exchange {
    fn set_taken(&self, taken: Option<Instant>) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = taken;
    }

    /// The response with a body that belongs to this.
    pub fn with_response(self: Arc<Self>, response: Response) -> Response {
        response.map(|body| Body::new(WatchedBody { body, exchange: self, rest: Bytes::new() }))
    }
}

/// A body in small parts, so that a slow client, which reads some of them, is told from one that reads none.
struct WatchedBody {
    body: Body,
    exchange: Arc<Exchange>,
    /// What is left of the last part of `body`.
    rest: Bytes,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.exchange.set_taken(None);
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        self.exchange.set_taken(Some(Instant::now()));
        let length = self.rest.len().min(PART);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(self.body.size_hint().lower() + rest);
        if let Some(upper) = self.body.size_hint().upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

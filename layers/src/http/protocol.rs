//! The two versions of HTTP, behind one trait for the future of the connection.

use super::{
    HttpIo, RequestBody,
    activity::{HeadWatch, Wait},
    conn_service::ConnService,
    executor::Streams,
};
use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::rt::TokioIo;
use reagent::{BoxError, ConnectionHandle, IoStream, PrefixedIo};
use std::{
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;
use tower_service::Service;

/// A connection that speaks one version of HTTP.
pub(super) trait Protocol<Io>: Send {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>>;

    /// Serves the requests that have begun, and then closes.
    fn finish(&mut self);

    /// Returns what the connection waits for.
    fn wait(&mut self) -> Wait;

    /// Returns the time since which a request may be on its way that would get no answer once the
    /// connection finishes.
    fn may_ask(&self) -> Option<Instant>;

    /// Returns the stream of a connection that is over, unless it was given away or the client has
    /// ended its side.
    fn into_io(self: Box<Self>) -> Option<PrefixedIo<Io>>;
}

pub(super) struct Http1<Io, S>
where
    S: Service<Request<RequestBody>> + Clone,
    ConnService<S>: hyper::service::HttpService<Incoming>,
{
    pub(super) conn: http1::UpgradeableConnection<TokioIo<HttpIo<Io>>, ConnService<S>>,
    pub(super) head: HeadWatch,
}

impl<Io, S, B> Protocol<Io> for Http1<Io, S>
where
    Io: IoStream,
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        let polled = Pin::new(&mut self.conn).poll(cx);
        self.head.look();
        polled
    }

    fn finish(&mut self) {
        Pin::new(&mut self.conn).graceful_shutdown();
    }

    fn wait(&mut self) -> Wait {
        self.head.wait()
    }

    fn may_ask(&self) -> Option<Instant> {
        match self.head.wait() {
            Wait::None => None,
            Wait::Request(since, _) => Some(since),
            // The request has begun, and has the time that a head may take.
            Wait::Head(_) => Some(Instant::now()),
        }
    }

    fn into_io(self: Box<Self>) -> Option<PrefixedIo<Io>> {
        let parts = self.conn.into_parts()?;
        parts.io.into_inner().into_unended()
    }
}

pub(super) struct Http2<Io, S>
where
    S: Service<Request<RequestBody>> + Clone,
    ConnService<S>: hyper::service::HttpService<Incoming>,
{
    pub(super) conn: http2::Connection<TokioIo<HttpIo<Io>>, ConnService<S>, super::StreamExecutor>,
    pub(super) streams: Streams,
    pub(super) handle: ConnectionHandle,
    /// The time since which no stream is open, and the number of bytes written by then.
    pub(super) idle: Option<(Instant, u64)>,
}

impl<Io, S> Http2<Io, S>
where
    S: Service<Request<RequestBody>> + Clone,
    ConnService<S>: hyper::service::HttpService<Incoming>,
{
    fn look(&mut self) {
        if !self.streams.is_empty() {
            self.idle = None;
        } else if self.idle.is_none() {
            self.idle = Some((Instant::now(), self.handle.bytes_written()));
        }
    }
}

impl<Io, S, B> Protocol<Io> for Http2<Io, S>
where
    Io: IoStream,
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        let polled = Pin::new(&mut self.conn).poll(cx);
        self.look();
        if polled.is_pending() && self.streams.poll(cx) {
            // As with HTTP/1, a panic ends the connection, but here other requests are finished
            // first.
            self.finish();
            cx.waker().wake_by_ref();
        }
        let result = ready!(polled);
        if let Some(panic) = self.streams.take_panic() {
            resume_unwind(panic);
        }
        Poll::Ready(result)
    }

    fn finish(&mut self) {
        Pin::new(&mut self.conn).graceful_shutdown();
    }

    fn wait(&mut self) -> Wait {
        self.look();
        match self.idle {
            None => Wait::None,
            Some((since, written)) => Wait::Request(since, written),
        }
    }

    /// `None`, since a GOAWAY tells the client which requests are answered.
    fn may_ask(&self) -> Option<Instant> {
        None
    }

    fn into_io(self: Box<Self>) -> Option<PrefixedIo<Io>> {
        None
    }
}

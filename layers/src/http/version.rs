//! Before HTTP: which version a client speaks, told by its first bytes.
//!
//! hyper-util's builder does the same by a read of its own of 24 bytes and waits for them without a limit. This
//! reads what there is at once, which saves each connection a system call, and leaves nothing allocated for a
//! client that says nothing.

use super::{
    Config, HttpIo,
    executor::Streams,
    head::Head,
    protocol::{Http1, Http2, Protocol},
    requests::Requests,
};
use crate::net::HTTP2_PREFACE as PREFACE;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use reagent::{BoxError, ConnectionHandle, IoStream};
use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{io::ReadBuf, time::Instant};
use tower_service::Service;

/// Enough for most heads, so that they are read at once.
const FIRST_READ: usize = 4096;

/// Which version is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
    /// The client's first bytes say it.
    Any,
}

/// A client of which it is not known what it speaks.
pub(super) struct Waiting<Io, S> {
    pub(super) io: Io,
    /// What it has said.
    pub(super) first: Vec<u8>,
    pub(super) version: Version,
    pub(super) requests: Requests<S>,
}

impl<Io: IoStream, S> Waiting<Io, S> {
    /// Reads until the version is clear; `None` if the client left before.
    pub(super) fn poll_version(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Version>, io::Error>> {
        loop {
            let mut space = [const { MaybeUninit::uninit() }; FIRST_READ];
            let mut buf = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
            self.first.extend_from_slice(buf.filled());
            let ended = buf.filled().is_empty();
            let n = self.first.len().min(PREFACE.len());
            return Poll::Ready(Ok(match self.version {
                _ if self.first.is_empty() => None,
                Version::Any if self.first[..n] != PREFACE[..n] => Some(Version::Http1),
                Version::Any if n == PREFACE.len() => Some(Version::Http2),
                // hyper says what it thinks of half a preface.
                Version::Any if ended => Some(Version::Http1),
                Version::Any => continue,
                known => Some(known),
            }));
        }
    }

    pub(super) fn serve<B>(
        self,
        version: Version,
        config: &Config,
        handle: &ConnectionHandle,
    ) -> Box<dyn Protocol<Io>>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let io = TokioIo::new(HttpIo::new(self.first, self.io));
        if version == Version::Http2 {
            let streams = Streams::new(config.parallel_streams);
            let mut builder = http2::Builder::new(streams.executor());
            config.configure_http2(&mut builder);
            builder.timer(TokioTimer::new());
            let conn = builder.serve_connection(io, self.requests);
            return Box::new(Http2 {
                conn,
                streams,
                handle: handle.clone(),
                idle: None,
            });
        }
        let head = Head::new(
            self.requests.counted.clone(),
            handle.clone(),
            Instant::now(),
        );
        let conn = config
            .http1
            .serve_connection(io, self.requests)
            .with_upgrades();
        Box::new(Http1 { conn, head })
    }
}

//! The version of HTTP that a client speaks, from its first bytes.
//!
//! The builder of hyper-util finds it out too, but with a separate read of 24 bytes, for which it
//! waits without a limit. This module reads all available bytes at once, which saves each
//! connection a system call, and allocates nothing for a client that sends nothing.

use super::{
    Config, HttpIo, RequestBody,
    activity::HeadWatch,
    conn_service::ConnService,
    executor::Streams,
    protocol::{Http1, Http2, Protocol},
};
use crate::net::HTTP2_PREFACE as PREFACE;
use http::{Request, Response};
use http_body::Body;
use hyper::server::conn::http2;
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

/// Enough to read most heads at once.
const FIRST_READ: usize = 4096;

/// The size of a frame's header (RFC 9113, section 4.1), and the type of a SETTINGS frame (section
/// 6.5).
const FRAME_HEADER: usize = 9;
const SETTINGS: u8 = 4;

/// The longest SETTINGS frame to wait for. h2 refuses longer ones.
const LONGEST_SETTINGS: usize = 16 * 1024;

/// The result of comparing the first bytes of a client with an HTTP/2 preface: the fixed bytes and
/// a SETTINGS frame. h2 waits for both without a limit, so it is given the whole preface.
enum Preface {
    Other,
    Part,
    Whole,
    /// The first frame is not SETTINGS, which h2 would accept.
    Invalid,
}

impl Preface {
    fn of(first: &[u8]) -> Self {
        let n = first.len().min(PREFACE.len());
        if first[..n] != PREFACE[..n] {
            return Preface::Other;
        }
        match &first[n..] {
            [a, b, c, SETTINGS, rest @ ..] => {
                let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                match rest.len() + 4 < FRAME_HEADER + length && length <= LONGEST_SETTINGS {
                    true => Preface::Part,
                    false => Preface::Whole,
                }
            }
            [_, _, _, _, ..] => Preface::Invalid,
            _ => Preface::Part,
        }
    }
}

/// The version of HTTP to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
    /// The version that the client's first bytes show.
    Any,
}

/// A connection whose version is not known yet.
pub(super) struct Waiting<Io, S> {
    pub(super) io: Io,
    /// The bytes read so far.
    pub(super) first: Vec<u8>,
    pub(super) version: Version,
    pub(super) service: ConnService<S>,
}

impl<Io: IoStream, S> Waiting<Io, S> {
    /// Reads until the version is clear; `None` if the client left before it sent anything.
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
            if self.first.is_empty() {
                return Poll::Ready(Ok(None));
            }
            let preface = match self.version {
                Version::Http1 => Preface::Other,
                Version::Http2 | Version::Any => Preface::of(&self.first),
            };
            return Poll::Ready(Ok(Some(match (preface, self.version) {
                (Preface::Other, Version::Any) => Version::Http1,
                (Preface::Other, known) => known,
                (Preface::Whole, _) => Version::Http2,
                (Preface::Invalid, _) => {
                    let text = "invalid HTTP/2 preface: the first frame is not SETTINGS";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
                }
                // hyper reports an incomplete preface.
                (Preface::Part, version) if ended => match version {
                    Version::Any if self.first.len() < PREFACE.len() => Version::Http1,
                    _ => Version::Http2,
                },
                (Preface::Part, _) => continue,
            })));
        }
    }

    pub(super) fn serve<B>(
        self,
        version: Version,
        config: &Config,
        handle: &ConnectionHandle,
    ) -> Box<dyn Protocol<Io>>
    where
        S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let activity = self.service.activity.clone();
        let io = HttpIo::new(
            self.first,
            self.io,
            activity.clone(),
            config.stalls.upgraded,
            config.trial(handle),
        );
        let io = TokioIo::new(io);
        if version == Version::Http2 {
            let streams =
                Streams::new(config.parallel_streams, config.stalls, config.trial(handle));
            let mut builder = http2::Builder::new(streams.executor());
            config.configure_http2(&mut builder);
            builder.timer(TokioTimer::new());
            let service = ConnService {
                streams: Some(streams.executor()),
                ..self.service
            };
            let conn = builder.serve_connection(io, service);
            return Box::new(Http2 {
                conn,
                streams,
                handle: handle.clone(),
                idle: None,
            });
        }
        let head = HeadWatch::new(activity, handle.clone(), Instant::now());
        let conn = config
            .http1
            .serve_connection(io, self.service)
            .with_upgrades();
        Box::new(Http1 { conn, head })
    }
}

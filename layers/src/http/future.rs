//! The future of a connection, from its first byte to its last.

use super::{
    Config, RequestBody,
    activity::Wait,
    conn_service::ConnService,
    deadlines::{Deadlines, Look},
    error::from_result,
    kind::STREAM_IDLE,
    protocol::Protocol,
    version::{Version, Waiting},
};
use crate::time::{DeadlineTimer, FAR};
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use reagent::{BoxError, ConnectionHandle, IoStream, Linger, PrefixedIo, TimedOut, linger};
use std::{
    fmt,
    future::Future,
    mem::{self, MaybeUninit},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::Instant,
};
use tower_service::Service;

/// The time that a client has for a request during a drain, after it has connected or was last
/// answered. Often the request is on its way already, and the client would take a close for an
/// error. nginx has `keepalive_min_timeout` for this.
const GRACE: Duration = Duration::from_secs(1);

pin_project! {
    /// The future of an [`Http`](super::Http) service.
    pub struct HttpFuture<Io, S> {
        state: State<Io, S>,
        deadlines: Deadlines,
        // The time of the next check of the limits.
        look_at: Instant,
        #[pin]
        timer: DeadlineTimer,
    }
}

// ## Waiting => Serving => (Lingering | Over)
enum State<Io, S> {
    Waiting(Waiting<Io, S>),
    /// Boxed, so that a connection that has sent nothing is small.
    Serving(Box<dyn Protocol<Io>>),
    Lingering(
        Pin<Box<dyn Future<Output = ()> + Send>>,
        Result<(), BoxError>,
    ),
    Over,
}

impl<Io, S> HttpFuture<Io, S> {
    pub(super) fn new(
        io: Io,
        service: ConnService<S>,
        version: Version,
        config: Arc<Config>,
        handle: ConnectionHandle,
    ) -> Self {
        let activity = service.activity.clone();
        let now = Instant::now();
        let ends = |limit: Option<Duration>| {
            now + limit.map_or(FAR, |limit| handle.opening_left(limit).min(FAR))
        };
        // Without a limit on the first byte, the wait for it does not count.
        let opening = config.first_byte.zip(config.header);
        let first_head_ends = ends(opening.map(|(first, header)| first.max(header)));
        let look_at = ends(config.first_byte);
        HttpFuture {
            state: State::Waiting(Waiting {
                io,
                first: Vec::new(),
                version,
                service,
            }),
            deadlines: Deadlines::new(config, handle, activity, first_head_ends),
            look_at,
            timer: DeadlineTimer::new(),
        }
    }
}

impl<Io, S, B> Future for HttpFuture<Io, S>
where
    Io: IoStream,
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state {
                State::Waiting(waiting) => {
                    if let Poll::Ready(version) = waiting.poll_version(cx) {
                        let (Some(version), State::Waiting(waiting)) =
                            (version?, mem::replace(this.state, State::Over))
                        else {
                            return Poll::Ready(Ok(()));
                        };
                        let deadlines = &mut *this.deadlines;
                        let serving = waiting.serve(version, &deadlines.config, &deadlines.handle);
                        *this.state = State::Serving(serving);
                        let look_at = Instant::now() + deadlines.config.shortest();
                        let look_at = look_at.min(deadlines.first_head_ends);
                        *this.look_at = look_at.min(*this.look_at);
                        continue;
                    }
                    this.deadlines.handle.set_busy(!waiting.first.is_empty());
                }
                State::Serving(serving) => {
                    let polled = serving.poll(cx);
                    let is_idle = matches!(serving.wait(), Wait::Request(..));
                    // An upgraded connection is in use until its stream is dropped.
                    let is_busy = !is_idle || this.deadlines.activity.is_upgraded();
                    this.deadlines.handle.set_busy(is_busy);
                    if let Poll::Ready(result) = polled {
                        let is_sending = this.deadlines.activity.is_unread()
                            || result.as_ref().is_err_and(hyper::Error::is_parse);
                        let result = from_result(result, is_idle, &this.deadlines.handle);
                        let Some(mut io) = take_io(this.state) else {
                            return Poll::Ready(result);
                        };
                        if !is_still_sending(&mut io, cx, is_sending) {
                            return Poll::Ready(result);
                        }
                        let closing = async move { linger(&mut io, Linger::new()).await };
                        *this.state = State::Lingering(Box::pin(closing), result);
                        let is_draining = this.deadlines.handle.is_draining();
                        *this.look_at = Instant::now() + if is_draining { GRACE } else { FAR };
                        continue;
                    }
                    this.deadlines.note();
                }
                State::Lingering(closing, result) => {
                    if closing.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(mem::replace(result, Ok(())));
                    }
                }
                State::Over => return Poll::Ready(Ok(())),
            }

            if let Some(drained) = this.deadlines.hears_of_drain(cx) {
                let ends = match this.state {
                    State::Waiting(_) | State::Lingering(..) => Some(drained + GRACE),
                    State::Serving(serving) => match serving.may_ask() {
                        // It was polled just now, so no request has come within that time.
                        Some(since) if Instant::now() < since + GRACE => Some(since + GRACE),
                        _ => {
                            this.deadlines.finishes();
                            serving.finish();
                            continue;
                        }
                    },
                    State::Over => None,
                };
                if let Some(ends) = ends {
                    *this.look_at = ends.min(*this.look_at);
                }
            }

            ready!(this.timer.as_mut().poll(cx, *this.look_at));
            match this.state {
                State::Waiting(waiting) => {
                    let has_begun = !waiting.first.is_empty();
                    if let Some(result) = this.deadlines.gives_up(has_begun) {
                        return Poll::Ready(result);
                    }
                    *this.look_at = Instant::now() + FAR;
                }
                State::Serving(serving) => {
                    *this.look_at = match this.deadlines.look(serving.wait()) {
                        Look::Again(at) => at,
                        Look::Finish => {
                            serving.finish();
                            Instant::now() + this.deadlines.config.shortest()
                        }
                        Look::End(kind) => {
                            // The system would keep unread bytes for as long as the client likes.
                            if kind == STREAM_IDLE {
                                this.deadlines.handle.reset_on_close();
                            }
                            return Poll::Ready(Err(TimedOut::new(kind).into()));
                        }
                    };
                }
                State::Lingering(_, result) => return Poll::Ready(mem::replace(result, Ok(()))),
                State::Over => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// Returns whether the client may still be sending, so that the close has to linger. Otherwise the
/// close would be a reset, which takes the answer from a client that has not read it yet.
fn is_still_sending(
    io: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    is_expected: bool,
) -> bool {
    let mut space = [const { MaybeUninit::uninit() }; 1024];
    let mut buf = ReadBuf::uninit(&mut space);
    match Pin::new(io).poll_read(cx, &mut buf) {
        Poll::Pending => is_expected,
        Poll::Ready(Ok(())) => !buf.filled().is_empty(),
        Poll::Ready(Err(_)) => false,
    }
}

fn take_io<Io, S>(state: &mut State<Io, S>) -> Option<PrefixedIo<Io>> {
    match mem::replace(state, State::Over) {
        State::Serving(serving) => serving.into_io(),
        _ => None,
    }
}

impl<Io, S> fmt::Debug for HttpFuture<Io, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpFuture")
    }
}

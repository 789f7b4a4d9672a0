//! One connection, from its first byte to its last.

use super::{
    Config,
    head::Wait,
    life::{Life, Look},
    linger::{Discarded, LINGER, discard},
    outcome::of_result,
    protocol::Protocol,
    requests::Requests,
    version::{Version, Waiting},
};
use crate::time::{DeadlineTimer, FAR};
use http::{Extensions, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use reagent::{BoxError, ConnectionHandle, IoStream, TimedOut};
use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Instant;
use tower_service::Service;

/// When the server drains, who has just come or has just been answered has this long to ask: the request is
/// often on its way, and its client would take a close for an error. nginx has `keepalive_min_timeout` for it.
const GRACE: Duration = Duration::from_secs(1);

pin_project! {
    /// The future of an [`Http`](super::Http).
    pub struct HttpFuture<Io, S> {
        state: State<Io, S>,
        life: Life,
        // When to look whether it has waited for too long.
        look_at: Instant,
        #[pin]
        timer: DeadlineTimer,
    }
}

// ## Waiting => Serving => (Lingering | Over)
enum State<Io, S> {
    Waiting(Waiting<Io, S>),
    /// Boxed, since one that has said nothing is to be small.
    Serving(Box<dyn Protocol<Io>>),
    Lingering(Io, Result<(), BoxError>),
    Over,
}

impl<Io, S> HttpFuture<Io, S> {
    pub(super) fn new(
        io: Io,
        service: S,
        extensions: Extensions,
        version: Version,
        config: Arc<Config>,
        handle: ConnectionHandle,
    ) -> Self {
        let first_byte = config.first_byte.map_or(FAR, |limit| limit.min(FAR));
        HttpFuture {
            state: State::Waiting(Waiting {
                io,
                first: Vec::new(),
                version,
                requests: Requests {
                    service,
                    extensions,
                    handle: handle.clone(),
                    counted: Arc::default(),
                },
            }),
            life: Life::new(config, handle),
            look_at: Instant::now() + first_byte,
            timer: DeadlineTimer::new(),
        }
    }
}

impl<Io, S, B> Future for HttpFuture<Io, S>
where
    Io: IoStream,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
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
                        let life = &mut *this.life;
                        let serving = waiting.serve(version, &life.config, &life.handle);
                        *this.state = State::Serving(serving);
                        let look_at = Instant::now() + life.config.shortest();
                        *this.look_at = look_at.min(*this.look_at);
                        continue;
                    }
                }
                State::Serving(serving) => {
                    if let Poll::Ready(result) = serving.poll(cx) {
                        let is_sending = result.as_ref().is_err_and(hyper::Error::is_parse);
                        let is_idle = matches!(serving.wait(), Wait::Request(..));
                        let result = of_result(result, is_idle);
                        let Some(mut io) = take_io(this.state) else {
                            return Poll::Ready(result);
                        };
                        match discard(&mut io, cx) {
                            Discarded::Some => {}
                            Discarded::Nothing if is_sending => {}
                            Discarded::Nothing | Discarded::End => return Poll::Ready(result),
                        }
                        *this.state = State::Lingering(io, result);
                        *this.look_at = Instant::now() + LINGER;
                    }
                }
                State::Lingering(io, result) => {
                    if let Discarded::End = discard(io, cx) {
                        return Poll::Ready(mem::replace(result, Ok(())));
                    }
                }
                State::Over => return Poll::Ready(Ok(())),
            }

            if let Some(drained) = this.life.hears_of_drain(cx) {
                let ends = match this.state {
                    State::Waiting(_) => Some(drained + GRACE),
                    State::Serving(serving) => match serving.may_ask() {
                        // It was polled just now, so nothing has come in this time.
                        Some(since) if Instant::now() < since + GRACE => Some(since + GRACE),
                        _ => {
                            this.life.finishes();
                            serving.finish();
                            continue;
                        }
                    },
                    State::Lingering(..) | State::Over => None,
                };
                if let Some(ends) = ends {
                    *this.look_at = ends.min(*this.look_at);
                }
            }

            ready!(this.timer.as_mut().poll(cx, *this.look_at));
            match this.state {
                State::Waiting(waiting) => {
                    let has_begun = !waiting.first.is_empty();
                    return Poll::Ready(this.life.gives_up(has_begun));
                }
                State::Serving(serving) => {
                    *this.look_at = match this.life.look(serving.wait()) {
                        Look::Again(at) => at,
                        Look::Finish => {
                            serving.finish();
                            Instant::now() + this.life.config.shortest()
                        }
                        Look::End(kind) => return Poll::Ready(Err(TimedOut::new(kind).into())),
                    };
                }
                State::Lingering(_, result) => return Poll::Ready(mem::replace(result, Ok(()))),
                State::Over => return Poll::Ready(Ok(())),
            }
        }
    }
}

fn take_io<Io, S>(state: &mut State<Io, S>) -> Option<Io> {
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

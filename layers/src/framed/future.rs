//! The future of a connection of frames.

use super::{
    IntoAnswer, Settings,
    in_flight::InFlight,
    push::Pushed,
    serving::{Ending, State},
};
use crate::time::DeadlineTimer;
use pin_project_lite::pin_project;
use reagent::{BoxError, Connection, IoStream};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio_util::codec::{Decoder, Encoder};
use tower_service::Service;

/// The parts of a connection before its codec and its service are made.
pub(super) struct Begun<R, Io> {
    pub(super) conn: Connection<Io>,
    pub(super) settings: Arc<Settings<R>>,
    pub(super) pushed: Option<Pushed<R>>,
}

type Lingering = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

pin_project! {
    /// The future of a [`Framed`](super::Framed) or a [`FramedMake`](super::FramedMake) service.
    pub struct FramedFuture<R, Io, F, C: Decoder, S: Service<C::Item>> {
        #[pin]
        stage: Stage<R, Io, F, C, S>,
    }
}

pin_project! {
    // ## Making => Serving => Lingering
    #[project = StageProj]
    #[project_replace = StageOwn]
    enum Stage<R, Io, F, C: Decoder, S: Service<C::Item>> {
        Making {
            #[pin]
            making: F,
            begun: Begun<R, Io>,
        },
        Serving {
            #[pin]
            in_flight: InFlight<S::Future>,
            #[pin]
            timer: DeadlineTimer,
            state: State<R, Io, C, S, C::Item>,
        },
        Lingering { lingering: Lingering },
        // Between two stages, and after a panic.
        Ended,
    }
}

impl<R, Io, F, C: Decoder, S: Service<C::Item>> FramedFuture<R, Io, F, C, S> {
    pub(super) fn new(making: F, begun: Begun<R, Io>) -> Self {
        // A stream that ends in the middle of a frame has been cut short, which is an error.
        begun.conn.set_delimited();
        FramedFuture {
            stage: Stage::Making { making, begun },
        }
    }
}

impl<R, Io, F, E, C, S> Future for FramedFuture<R, Io, F, C, S>
where
    F: Future<Output = Result<(C, S), E>>,
    E: Into<BoxError>,
    C: Decoder + Encoder<R>,
    <C as Decoder>::Error: Into<BoxError>,
    <C as Encoder<R>>::Error: Into<BoxError>,
    S: Service<C::Item, Response: IntoAnswer<R, C>>,
    S::Error: Into<BoxError>,
    Io: IoStream,
{
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut stage = self.project().stage;
        loop {
            match stage.as_mut().project() {
                StageProj::Making { making, .. } => {
                    let made = ready!(making.poll(cx)).map_err(Into::into)?;
                    let own = stage.as_mut().project_replace(Stage::Ended);
                    if let StageOwn::Making { begun, .. } = own {
                        stage.set(Stage::Serving {
                            in_flight: InFlight::new(),
                            timer: DeadlineTimer::new(),
                            state: State::new(begun, made),
                        });
                    }
                }
                StageProj::Serving {
                    in_flight,
                    timer,
                    state,
                } => {
                    let result = match ready!(state.poll(in_flight, timer, cx))? {
                        Ending::Closed(result) => return Poll::Ready(result),
                        Ending::Linger(result) => result,
                    };
                    let own = stage.as_mut().project_replace(Stage::Ended);
                    if let StageOwn::Serving { state, .. } = own {
                        let (conn, limits) = state.into_closing();
                        let lingering = Box::pin(async move {
                            conn.close_lingering(limits).await;
                            result
                        });
                        stage.set(Stage::Lingering { lingering });
                    }
                }
                StageProj::Lingering { lingering } => return lingering.as_mut().poll(cx),
                StageProj::Ended => return Poll::Pending,
            }
        }
    }
}

impl<R, Io, F, C: Decoder, S: Service<C::Item>> fmt::Debug for FramedFuture<R, Io, F, C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FramedFuture")
    }
}

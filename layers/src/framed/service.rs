//! The service of connections.

use super::{Client, Settings, push::Pushed, serving::Serving};
use pin_project_lite::pin_project;
use reagent::{BoxError, Connection, IoStream};
use std::{
    convert::Infallible,
    fmt,
    future::{Future, Ready, ready},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio_util::codec::{Decoder, Encoder};
use tower_service::Service;

/// The service of a [`FramedLayer`](super::FramedLayer): ready when what makes the service of a connection is,
/// so always where all share one.
pub struct Framed<R, M> {
    make: M,
    settings: Arc<Settings<R>>,
}

impl<R, M> Framed<R, M> {
    pub(super) fn new(make: M, settings: Arc<Settings<R>>) -> Self {
        Framed { make, settings }
    }
}

impl<R, M: Clone> Clone for Framed<R, M> {
    fn clone(&self) -> Self {
        Framed::new(self.make.clone(), self.settings.clone())
    }
}

impl<R, M: fmt::Debug> fmt::Debug for Framed<R, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framed")
            .field("make", &self.make)
            .finish_non_exhaustive()
    }
}

/// Gives every connection a clone of one codec and one service.
#[derive(Clone, Debug)]
pub struct Shared<C, S> {
    pub(super) codec: C,
    pub(super) service: S,
}

impl<R, C: Clone, S: Clone> Service<Option<Client<R>>> for Shared<C, S> {
    type Response = (C, S);
    type Error = Infallible;
    type Future = Ready<Result<(C, S), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Option<Client<R>>) -> Self::Future {
        ready(Ok((self.codec.clone(), self.service.clone())))
    }
}

/// Has a service and its codec made for every connection.
#[derive(Clone, Debug)]
pub struct Made<M>(pub(super) M);

impl<R, M: Service<Client<R>>> Service<Option<Client<R>>> for Made<M> {
    type Response = M::Response;
    type Error = M::Error;
    type Future = M::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, client: Option<Client<R>>) -> M::Future {
        match client {
            Some(client) => self.0.call(client),
            None => unreachable!("its layer has pushes"),
        }
    }
}

impl<R, M, C, S, Io> Service<Connection<Io>> for Framed<R, M>
where
    M: Service<Option<Client<R>>, Response = (C, S)>,
    M::Error: Into<BoxError>,
    C: Decoder + Encoder<R>,
    <C as Decoder>::Error: Into<BoxError>,
    <C as Encoder<R>>::Error: Into<BoxError>,
    S: Service<C::Item, Response = R>,
    S::Error: Into<BoxError>,
    Io: IoStream,
{
    type Response = ();
    type Error = BoxError;
    type Future = FramedFuture<R, Io, M::Future, C, S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.make.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut conn: Connection<Io>) -> Self::Future {
        // What is cut short in the middle of a frame is an error.
        conn.set_delimited();
        let pushed = self.settings.pushes.map(Pushed::new);
        let client = pushed.as_ref().map(|pushed| {
            let extensions = mem::take(conn.extensions_mut());
            Client::new(conn.handle(), extensions, pushed)
        });
        FramedFuture {
            stage: Stage::Making {
                making: self.make.call(client),
                rest: Some((conn, self.settings.clone(), pushed)),
            },
        }
    }
}

type Rest<R, Io> = (Connection<Io>, Arc<Settings<R>>, Option<Pushed<R>>);

pin_project! {
    /// The future of a [`Framed`].
    pub struct FramedFuture<R, Io, F, C: Decoder, S: Service<C::Item>> {
        #[pin]
        stage: Stage<R, Io, F, C, S>,
    }
}

pin_project! {
    // ## Making => Serving
    #[project = StageProj]
    enum Stage<R, Io, F, C: Decoder, S: Service<C::Item>> {
        Making { #[pin] making: F, rest: Option<Rest<R, Io>> },
        Serving { #[pin] serving: Serving<R, Io, C, S> },
    }
}

impl<R, Io, F, E, C, S> Future for FramedFuture<R, Io, F, C, S>
where
    F: Future<Output = Result<(C, S), E>>,
    E: Into<BoxError>,
    C: Decoder + Encoder<R>,
    <C as Decoder>::Error: Into<BoxError>,
    <C as Encoder<R>>::Error: Into<BoxError>,
    S: Service<C::Item, Response = R>,
    S::Error: Into<BoxError>,
    Io: IoStream,
{
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut stage = self.project().stage;
        loop {
            match stage.as_mut().project() {
                StageProj::Making { making, rest } => {
                    let made = ready!(making.poll(cx)).map_err(Into::into)?;
                    let Some((conn, settings, pushed)) = rest.take() else {
                        unreachable!("the stage changes with what it had")
                    };
                    stage.set(Stage::Serving {
                        serving: Serving::new(conn, made, settings, pushed),
                    });
                }
                StageProj::Serving { serving } => return serving.poll(cx),
            }
        }
    }
}

impl<R, Io, F, C: Decoder, S: Service<C::Item>> fmt::Debug for FramedFuture<R, Io, F, C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FramedFuture")
    }
}

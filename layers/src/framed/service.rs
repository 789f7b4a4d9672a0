//! The services of connections of frames.

use super::{Client, FramedFuture, IntoAnswer, Settings, future::Begun, push::Pushed};
use reagent::{BoxError, Connection, IoStream};
use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    mem,
    sync::Arc,
    task::{Context, Poll},
};
use tokio_util::codec::{Decoder, Encoder};
use tower_service::Service;

/// The service of a [`FramedLayer`](super::FramedLayer).
///
/// It is always ready: a connection waits for the inner service when it has a frame for it.
pub struct Framed<C, S, R> {
    codec: C,
    service: S,
    settings: Arc<Settings<R>>,
}

impl<C, S, R> Framed<C, S, R> {
    pub(super) fn new(codec: C, service: S, settings: Arc<Settings<R>>) -> Self {
        Framed {
            codec,
            service,
            settings,
        }
    }
}

impl<C, S, R, Io> Service<Connection<Io>> for Framed<C, S, R>
where
    C: Decoder + Encoder<R> + Clone,
    <C as Decoder>::Error: Into<BoxError>,
    <C as Encoder<R>>::Error: Into<BoxError>,
    S: Service<C::Item, Response: IntoAnswer<R, C>> + Clone,
    S::Error: Into<BoxError>,
    Io: IoStream,
{
    type Response = ();
    type Error = BoxError;
    type Future = FramedFuture<R, Io, Ready<Result<(C, S), Infallible>>, C, S>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        let made = ready(Ok((self.codec.clone(), self.service.clone())));
        FramedFuture::new(
            made,
            Begun {
                conn,
                settings: self.settings.clone(),
                pushed: None,
            },
        )
    }
}

impl<C: Clone, S: Clone, R> Clone for Framed<C, S, R> {
    fn clone(&self) -> Self {
        Framed::new(
            self.codec.clone(),
            self.service.clone(),
            self.settings.clone(),
        )
    }
}

impl<C: fmt::Debug, S: fmt::Debug, R> fmt::Debug for Framed<C, S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framed")
            .field("codec", &self.codec)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

/// The service of a [`FramedMakeLayer`](super::FramedMakeLayer). It is ready when the inner service
/// is.
pub struct FramedMake<M, R> {
    make: M,
    settings: Arc<Settings<R>>,
    pushes: usize,
}

impl<M, R> FramedMake<M, R> {
    pub(super) fn new(make: M, settings: Arc<Settings<R>>, pushes: usize) -> Self {
        FramedMake {
            make,
            settings,
            pushes,
        }
    }
}

impl<M, R, C, S, Io> Service<Connection<Io>> for FramedMake<M, R>
where
    M: Service<Client<R>, Response = (C, S)>,
    M::Error: Into<BoxError>,
    C: Decoder + Encoder<R>,
    <C as Decoder>::Error: Into<BoxError>,
    <C as Encoder<R>>::Error: Into<BoxError>,
    S: Service<C::Item, Response: IntoAnswer<R, C>>,
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
        let pushed = Pushed::new(self.pushes);
        let extensions = mem::take(conn.extensions_mut());
        let client = Client::new(conn.handle(), extensions, &pushed);
        FramedFuture::new(
            self.make.call(client),
            Begun {
                conn,
                settings: self.settings.clone(),
                pushed: Some(pushed),
            },
        )
    }
}

impl<M: Clone, R> Clone for FramedMake<M, R> {
    fn clone(&self) -> Self {
        FramedMake::new(self.make.clone(), self.settings.clone(), self.pushes)
    }
}

impl<M: fmt::Debug, R> fmt::Debug for FramedMake<M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FramedMake")
            .field("make", &self.make)
            .finish_non_exhaustive()
    }
}

//! The layers and their settings.

use super::{
    FrameError, Framed, FramedMake, OnError,
    settings::{Settings, shared_settings},
};
use std::{fmt, sync::Arc, time::Duration};
use tower_layer::Layer;

/// A layer that serves a framed protocol with a codec and one service for all clients.
///
/// Each connection gets a clone of the codec and of the inner service, which answers each frame
/// with an `R`. To make codec and service for each connection, use a [`FramedMakeLayer`].
pub struct FramedLayer<C, R> {
    codec: C,
    settings: Settings<R>,
}

impl<C, R> FramedLayer<C, R> {
    /// Creates a layer that gives each connection a clone of `codec`.
    pub fn new(codec: C) -> Self {
        let settings = Settings::new();
        FramedLayer { codec, settings }
    }

    shared_settings!();
}

impl<C: Clone, R, S> Layer<S> for FramedLayer<C, R> {
    type Service = Framed<C, S, R>;

    fn layer(&self, service: S) -> Self::Service {
        Framed::new(self.codec.clone(), service, Arc::new(self.settings.clone()))
    }
}

impl<C: Clone, R> Clone for FramedLayer<C, R> {
    fn clone(&self) -> Self {
        FramedLayer {
            codec: self.codec.clone(),
            settings: self.settings.clone(),
        }
    }
}

impl<C: fmt::Debug, R> fmt::Debug for FramedLayer<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FramedLayer")
            .field("codec", &self.codec)
            .field("settings", &self.settings)
            .finish()
    }
}

/// A layer that serves a framed protocol with a codec and a service made for each connection.
///
/// The inner service makes them: it is a `Service<Client<R>, Response = (Codec, Service)>`. So
/// codec and service can share what they know of their client, and the service can
/// [push](super::Client::pusher) frames.
///
/// They are made in the task of the connection. While the inner service is not ready, no connection
/// is accepted.
///
/// ```
/// use reagent::{Server, testing::MemoryListener};
/// use reagent_layers::framed::{Client, FramedMakeLayer, codec::LinesCodec};
/// use std::convert::Infallible;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tower::service_fn;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let make = service_fn(|client: Client<String>| async move {
///     let mut lines = 0;
///     let service = service_fn(move |line: String| {
///         lines += 1;
///         let answer = format!("{}, line {lines}: {line}", client.handle().id());
///         async { Ok::<_, Infallible>(answer) }
///     });
///     Ok::<_, Infallible>((LinesCodec::new(), service))
/// });
/// let (listener, clients) = MemoryListener::new();
/// let server = Server::new(listener).layer(FramedMakeLayer::new()).start(make).await?;
///
/// let mut client = clients.connect().await?;
/// client.write_all(b"a\nb\n").await?;
/// client.shutdown().await?;
/// let mut answers = String::new();
/// client.read_to_string(&mut answers).await?;
/// assert_eq!(answers, "1, line 1: a\n1, line 2: b\n");
/// # Ok(())
/// # }
/// ```
pub struct FramedMakeLayer<R> {
    settings: Settings<R>,
    pushes: usize,
}

impl<R> FramedMakeLayer<R> {
    /// Creates a layer with the default settings.
    pub fn new() -> Self {
        FramedMakeLayer {
            settings: Settings::new(),
            pushes: 64,
        }
    }

    /// Sets the number of [pushed](super::Pusher) frames that may wait for a client that reads
    /// slowly. The default is 64, and the minimum is 1.
    pub fn pushes(mut self, frames: usize) -> Self {
        self.pushes = frames.max(1);
        self
    }

    shared_settings!();
}

impl<R, M> Layer<M> for FramedMakeLayer<R> {
    type Service = FramedMake<M, R>;

    fn layer(&self, make: M) -> Self::Service {
        FramedMake::new(make, Arc::new(self.settings.clone()), self.pushes)
    }
}

impl<R> Default for FramedMakeLayer<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> Clone for FramedMakeLayer<R> {
    fn clone(&self) -> Self {
        FramedMakeLayer {
            settings: self.settings.clone(),
            pushes: self.pushes,
        }
    }
}

impl<R> fmt::Debug for FramedMakeLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FramedMakeLayer")
            .field("settings", &self.settings)
            .field("pushes", &self.pushes)
            .finish()
    }
}

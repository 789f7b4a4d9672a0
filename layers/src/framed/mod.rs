//! Serves a protocol of requests and answers: a codec and a service of frames become a service of connections.
//!
//! # When to use it
//!
//! Your protocol sends frames (lines, length-prefixed messages, RESP) and answers them in order. With a
//! [`tokio_util::codec`] for the bytes and a `Service<Frame, Response = Frame>` for the rest, tower's
//! layers for requests (timeout, rate limit, concurrency limit, load shed, retry, buffer) serve it as they serve
//! HTTP. Where frames do not answer one another, or come in a dialogue of your own, a
//! [`Session`](reagent::Session) or a [`handle`](reagent::handle) function is the simpler thing.
//!
//! Clients may send as many requests as they like without waiting. The answers come in order, and those to
//! frames that came together go out together, by one write. The service is called when it is ready, and by default for
//! one request of a connection at a time. While it is not ready, or the client does not read its answers, nothing is
//! read either, and the client waits in TCP. An idle connection holds no buffers.
//!
//! A service that leaves some frames unanswered responds with an `Option` of a frame: see
//! [`IntoAnswer`].
//!
//! # Position in the stack
//!
//! Innermost: it makes the protocol of the stream, so encryption, time limits and metering come before it. How
//! long a client may be silent is a matter of the [`timeout`](crate::timeout) layer; a frame that was begun
//! and an answer that is not read have limits of their own. Layers for requests go around the service, inside of this.
//!
//! A service shared by all connections is a clone of one for each: [`FramedLayer`]. One that knows its client, or
//! remembers something of it, is made for each connection: [`FramedMakeLayer`].
//!
//! # Example
//!
//! ```
//! use reagent::{Server, testing::MemoryListener};
//! use reagent_layers::framed::{FramedLayer, OnError};
//! use std::time::Duration;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio_util::codec::LinesCodec;
//! use tower::{ServiceBuilder, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let upper = ServiceBuilder::new().timeout(Duration::from_secs(1)).service(service_fn(
//!     |line: String| async move { Ok::<_, reagent::BoxError>(line.to_uppercase()) },
//! ));
//! let framed = FramedLayer::new(LinesCodec::new())
//!     .max_frame(1024)
//!     .on_error(|error| OnError::AnswerAndClose(format!("sorry: {error}")));
//!
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener).layer(framed).start(upper).await?;
//!
//! let mut client = clients.connect().await?;
//! client.write_all(b"one\ntwo\n").await?;
//! client.shutdown().await?;
//! let mut answers = String::new();
//! client.read_to_string(&mut answers).await?;
//! assert_eq!(answers, "ONE\nTWO\n");
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! [`FrameError`], after what [`on_error`](FramedLayer::on_error) says was sent;
//! [`TimedOut`](reagent::TimedOut) of the kind [`FRAME_TIMEOUT`] or [`WRITE_TIMEOUT`]; the stream's own errors; and those of what
//! makes the service of a connection. A client that closes in the middle of a frame is an error of most
//! codecs.
//!
//! A connection that is to finish (drain) has the frames that it sent in full answered, and is closed then. What the
//! client still sends is discarded for a second ([`linger`](FramedLayer::linger)), so that no reset takes its
//! answers from it.

mod answer;
mod client;
mod error;
mod future;
mod in_flight;
mod input;
mod layer;
mod output;
mod push;
mod service;
mod serving;
mod settings;

pub use answer::IntoAnswer;
pub use client::Client;
pub use error::{FRAME_TIMEOUT, FrameError, OnError, WRITE_TIMEOUT};
pub use future::FramedFuture;
pub use layer::{FramedLayer, FramedMakeLayer};
pub use push::{PushError, Pusher};
pub use service::{Framed, FramedMake};
/// The codecs' library, since its traits are part of this module's.
pub use tokio_util::codec;

use settings::Settings;

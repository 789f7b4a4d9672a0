//! Serves framed protocols: turns a codec and a request service into a connection service.
//!
//! # When to use it
//!
//! Use it when your protocol sends frames (lines, length-prefixed messages, RESP) and answers them
//! in order. You bring a [`tokio_util::codec`] for the bytes and a
//! `Service<Frame, Response = Frame>` for the rest. tower's layers for requests (timeout, rate
//! limit, concurrency limit, load shed, retry, buffer) then work for your protocol as they do for
//! HTTP. If frames do not answer one another, or follow a dialogue of their own, a
//! [`Session`](reagent::Session) or a [`handle`](reagent::handle) function is simpler.
//!
//! Clients may send any number of requests without waiting. The answers are sent in order, and the
//! answers to frames that arrived together are sent together, with one write. By default the
//! service is called for one request of a connection at a time, and only when it is ready. While it
//! is not ready, or the client does not read its answers, nothing is read either, and TCP holds
//! back the client. An idle connection holds no buffers.
//!
//! A service that leaves some frames unanswered responds with an `Option` of a frame: see
//! [`IntoAnswer`].
//!
//! # Position in the stack
//!
//! Innermost, since it turns the stream into a protocol: layers for encryption, time limits and
//! metering go around it. Layers for requests go around the service inside.
//!
//! The `timeout` layer limits how long a client may be silent. This layer limits
//! how long a client may take over a frame that it has begun, and how long it may leave answers
//! unread.
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
//! # Details
//!
//! ## Which layer
//!
//! | layer | service inside | use it if |
//! |---|---|---|
//! | [`FramedLayer`] | a request service, cloned for each connection | all clients are served alike |
//! | [`FramedMakeLayer`] | a service that makes a codec and a service for each connection | the service knows its client, keeps state for it, or [pushes](Pusher) frames |
//!
//! ## Drain
//!
//! When the server drains, the frames that a client has sent in full are answered, and then the
//! connection is closed. What the client still sends is discarded for up to a second
//! ([`linger`](FramedLayer::linger)), so that a reset does not destroy the answers before the
//! client has read them.
//!
//! # Errors
//!
//! A connection ends with one of these errors:
//!
//! - [`FrameError`], after what [`on_error`](FramedLayer::on_error) returned has been sent. A
//!   client that closes in the middle of a frame is an error with most codecs.
//! - [`TimedOut`](reagent::TimedOut) of the kind [`FRAME_TIMEOUT`] or [`WRITE_TIMEOUT`].
//! - The errors of the stream.
//! - The error of the service inside of a [`FramedMakeLayer`].

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
/// The codecs of tokio-util, re-exported since their traits are part of this API.
///
pub use tokio_util::codec;

use settings::Settings;

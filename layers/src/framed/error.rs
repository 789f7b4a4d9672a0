//! The errors of frames, and the reactions to them.

use reagent::BoxError;
use std::{error::Error, fmt};

/// The kind of [`TimedOut`](reagent::TimedOut) of a client that took too long to send a frame.
///
/// ```
/// use reagent::{Outcome, Server, testing::MemoryListener};
/// use reagent_layers::framed::{FRAME_TIMEOUT, FramedLayer, codec::LinesCodec};
/// use std::{convert::Infallible, time::Duration};
/// use tokio::{io::{AsyncReadExt, AsyncWriteExt}, time::timeout};
/// use tower::service_fn;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let (listener, clients) = MemoryListener::new();
/// let server = Server::new(listener)
///     .layer(FramedLayer::new(LinesCodec::new()).frame_timeout(Duration::from_secs(5)))
///     .start(service_fn(|line: String| async move { Ok::<_, Infallible>(line) }))
///     .await?;
///
/// let mut client = clients.connect().await?;
/// client.write_all(b"a whole line\nand a par").await?;
/// let mut answer = [0; 13];
/// client.read_exact(&mut answer).await?;
/// assert_eq!(&answer, b"a whole line\n");
///
/// let connection = server.connection(1).unwrap();
/// let outcome = timeout(Duration::from_secs(60), connection.closed()).await?;
/// assert!(matches!(outcome, Outcome::TimedOut(limit) if limit.kind() == FRAME_TIMEOUT));
/// # Ok(())
/// # }
/// ```
pub const FRAME_TIMEOUT: &str = "frame";

/// The kind of [`TimedOut`](reagent::TimedOut) of a client that did not read its answers.
pub const WRITE_TIMEOUT: &str = "write";

/// An error of a frame or of its answer.
///
/// Its message includes that of the codec or the service, since an [`Outcome`](reagent::Outcome)
/// displays the message of an error and not those of its sources.
#[derive(Debug)]
#[non_exhaustive]
pub enum FrameError {
    /// The codec could not decode a frame.
    Decode(BoxError),
    /// A frame is larger than [`max_frame`](super::FramedLayer::max_frame), which is this many
    /// bytes.
    TooLarge(usize),
    /// The service failed to answer a request, or its `poll_ready` failed and it accepts no more
    /// requests.
    Service(BoxError),
    /// The codec could not encode an answer or a pushed frame.
    Encode(BoxError),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Decode(error) => write!(f, "invalid frame: {error}"),
            FrameError::TooLarge(limit) => write!(f, "frame exceeds the maximum of {limit} bytes"),
            FrameError::Service(error) => write!(f, "service error: {error}"),
            FrameError::Encode(error) => write!(f, "could not encode an answer: {error}"),
        }
    }
}

impl Error for FrameError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            FrameError::Decode(error) | FrameError::Service(error) | FrameError::Encode(error) => {
                Some(&**error)
            }
            FrameError::TooLarge(_) => None,
        }
    }
}

/// A reaction to a [`FrameError`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnError<R> {
    /// Sends this frame and goes on, if only a request has failed. After any other error it also
    /// closes the connection, since it is unknown where the next frame begins.
    Answer(R),
    /// Sends this frame, and ends the connection with the error.
    AnswerAndClose(R),
    /// Ends the connection with the error. The default.
    #[default]
    Close,
}

//! What goes wrong with frames, and what is done then.

use reagent::BoxError;
use std::{error::Error, fmt};

/// The kind of [`TimedOut`](reagent::TimedOut) of a client that took too long over a frame.
pub const FRAME_TIMEOUT: &str = "frame";

/// The kind of [`TimedOut`](reagent::TimedOut) of a client that did not read what was sent to it.
pub const WRITE_TIMEOUT: &str = "write";

/// The error of a frame that was not answered as usual.
#[derive(Debug)]
#[non_exhaustive]
pub enum FrameError {
    /// The codec could not make a frame of what the client sent.
    Decode(BoxError),
    /// A frame is larger than this many bytes, which is the limit.
    TooLarge(usize),
    /// The service failed, at one request or for good.
    Service(BoxError),
    /// The codec could not make bytes of an answer.
    Encode(BoxError),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Decode(error) => write!(f, "no frame: {error}"),
            FrameError::TooLarge(limit) => write!(f, "a frame is larger than {limit} bytes"),
            FrameError::Service(error) => write!(f, "the service failed: {error}"),
            FrameError::Encode(error) => write!(f, "an answer cannot be encoded: {error}"),
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

/// The reaction to a [`FrameError`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnError<R> {
    /// The client gets this, and the connection goes on. Only a request that failed can be passed over so:
    /// after any other error this closes, since nobody knows where the next frame begins.
    Answer(R),
    /// The client gets this, and the connection ends with the error.
    AnswerAndClose(R),
    /// The connection ends with the error.
    #[default]
    Close,
}

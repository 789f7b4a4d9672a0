//! How a connection ended, by what hyper says.

use reagent::{BoxError, TimedOut};
use std::{error::Error, io};

/// The kinds of the time-outs of this layer; see [`TimedOut::kind`](reagent::TimedOut::kind).
pub mod kind {
    /// The client has sent nothing.
    pub const FIRST_BYTE: &str = "first byte";
    /// The head of a request or the preface of HTTP/2 was not sent in time.
    pub const HEADER: &str = "http header";
    /// The client did not send the body that was waited for, or did not take its answer.
    pub const STREAM_IDLE: &str = "http stream idle";
    /// An upgraded connection was silent in both directions.
    pub const UPGRADED_IDLE: &str = "http upgraded idle";
    /// An HTTP/2 client did not answer a ping.
    pub const PING: &str = "http ping";
    /// An HTTP/2 client did not go after a GOAWAY.
    pub const CLOSE: &str = "http close";
}

/// hyper's own time limits become time-outs. A client that leaves between two requests has left, however it did
/// it. What else hyper names stays what it is.
pub(super) fn from_result(result: hyper::Result<()>, is_idle: bool) -> Result<(), BoxError> {
    match result {
        Ok(()) => Ok(()),
        Err(error) if error.is_timeout() => Err(TimedOut::new(kind::PING).into()),
        Err(error) if is_idle && error.source().is_some_and(<dyn Error>::is::<io::Error>) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

//! What hyper says of the end of a connection, as an outcome.

use reagent::{BoxError, TimedOut};
use std::{error::Error, io};

/// hyper's own time limits become time-outs. A client that leaves between two requests has left, however it did
/// it. What else hyper names stays what it is.
pub(super) fn of_result(result: hyper::Result<()>, is_idle: bool) -> Result<(), BoxError> {
    match result {
        Ok(()) => Ok(()),
        Err(error) if error.is_timeout() => Err(TimedOut::new("http ping").into()),
        Err(error) if is_idle && error.source().is_some_and(<dyn Error>::is::<io::Error>) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

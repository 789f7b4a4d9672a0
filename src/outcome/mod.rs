//! How a connection ended: one taxonomy for events, spans, metrics and callers.

mod disconnect;
mod errors;
mod kind;

pub use disconnect::Disconnect;
pub(crate) use errors::LetGo;
pub use errors::{Rejected, TimedOut};
pub use kind::OutcomeKind;

use crate::{BoxError, cast::cast, panic::Panic};
use std::{error::Error, fmt, io, sync::Arc};

/// How a connection ended.
///
/// [`kind`](Self::kind) is the same without the details, for labels and counters.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Its handler returned `Ok`.
    Completed,
    /// Its handler, or a layer, returned this error.
    ///
    /// The error is the one that was returned, so it can be downcast.
    Failed(Arc<dyn Error + Send + Sync>),
    /// Its client went away, and the handler returned the error that this gave it; or it returned `Ok`
    /// after input that was [cut short](Disconnect::Truncated).
    ///
    /// Only an error of the accepted client's own stream counts; the same error of another stream,
    /// such as an upstream's, is [`Failed`](Self::Failed).
    Disconnected(Disconnect),
    /// A layer did not admit it.
    Rejected(Rejected),
    /// A time limit ended it.
    TimedOut(TimedOut),
    /// Its handler returned `Ok` after it had been told to finish, or its client had sent nothing to
    /// an [upgrade](crate::Upgrade) when the server drained.
    Drained,
    /// It was ended from outside: by [`ConnectionHandle::abort`](crate::ConnectionHandle::abort), or at
    /// the deadline of a drain.
    Aborted,
    /// Its handler panicked with this message.
    Panicked(Arc<str>),
}

impl Outcome {
    /// Returns what kind of outcome it is, without the details.
    pub fn kind(&self) -> OutcomeKind {
        match self {
            Outcome::Completed => OutcomeKind::Completed,
            Outcome::Failed(_) => OutcomeKind::Failed,
            Outcome::Disconnected(_) => OutcomeKind::Disconnected,
            Outcome::Rejected(_) => OutcomeKind::Rejected,
            Outcome::TimedOut(_) => OutcomeKind::TimedOut,
            Outcome::Drained => OutcomeKind::Drained,
            Outcome::Aborted => OutcomeKind::Aborted,
            Outcome::Panicked(_) => OutcomeKind::Panicked,
        }
    }

    /// Returns the word of [`OutcomeKind::as_str`].
    pub fn as_str(&self) -> &'static str {
        self.kind().as_str()
    }

    /// Sorts an error by what it, or one of its sources, is. `happened` says whether the connection's
    /// own stream saw its client go in such a way.
    pub(crate) fn from_error<E: Into<BoxError> + 'static>(
        error: E,
        happened: impl Fn(Disconnect) -> bool,
    ) -> Self {
        match cast::<E, io::Error>(error) {
            Ok(error) => Self::from_io(error, happened),
            Err(error) => match error.into().downcast::<io::Error>() {
                Ok(error) => Self::from_io(*error, happened),
                Err(error) => Self::from_boxed(error, happened),
            },
        }
    }

    /// What the system said of a socket, the most frequent of errors, needs no search.
    fn from_io(error: io::Error, happened: impl Fn(Disconnect) -> bool) -> Self {
        if error.get_ref().is_some() {
            return Self::from_boxed(error.into(), happened);
        }
        match disconnect(&error, happened) {
            Some(disconnect) => Outcome::Disconnected(disconnect),
            None => Outcome::Failed(Arc::new(error)),
        }
    }

    fn from_boxed(error: BoxError, happened: impl Fn(Disconnect) -> bool) -> Self {
        // Only a layer around the whole handler returns these bare; inside of another error they are
        // about something that the handler used.
        if error.is::<tower::timeout::error::Elapsed>() || error.is::<tokio::time::error::Elapsed>()
        {
            return Outcome::TimedOut(TimedOut::new("lifetime"));
        }
        if error.is::<tower::load_shed::error::Overloaded>() {
            return Outcome::Rejected(Rejected::new("overloaded"));
        }
        let mut next: Option<&(dyn Error + 'static)> = Some(&*error);
        while let Some(error) = next {
            if let Some(rejected) = error.downcast_ref::<Rejected>() {
                return Outcome::Rejected(rejected.clone());
            }
            if let Some(timed_out) = error.downcast_ref::<TimedOut>() {
                return Outcome::TimedOut(timed_out.clone());
            }
            if error.is::<LetGo>() {
                return Outcome::Drained;
            }
            let io_error = error.downcast_ref::<io::Error>();
            if let Some(disconnect) = io_error.and_then(|error| disconnect(error, &happened)) {
                return Outcome::Disconnected(disconnect);
            }
            // An `io::Error` passes over what it holds: its source is that error's source.
            next = match io_error.and_then(io::Error::get_ref) {
                Some(held) => Some(held),
                None => error.source(),
            };
        }
        Outcome::Failed(Arc::from(error))
    }

    /// The outcome of a future that nobody saw end: it was dropped, by its holder or by a panic there.
    pub(crate) fn dropped() -> Self {
        match std::thread::panicking() {
            true => Outcome::Panicked("outside of its handler's future".into()),
            false => Outcome::Aborted,
        }
    }

    pub(crate) fn from_panic(panic: &Panic) -> Self {
        Outcome::Panicked(panic.message().clone())
    }
}

fn disconnect(error: &io::Error, happened: impl Fn(Disconnect) -> bool) -> Option<Disconnect> {
    Disconnect::from_kind(error.kind()).filter(|&disconnect| happened(disconnect))
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Failed(error) => write!(f, "failed: {error}"),
            Outcome::Disconnected(disconnect) => write!(f, "disconnected: {disconnect}"),
            Outcome::Rejected(rejected) => rejected.fmt(f),
            Outcome::TimedOut(timed_out) => timed_out.fmt(f),
            Outcome::Panicked(message) => write!(f, "panicked: {message}"),
            other => f.write_str(other.as_str()),
        }
    }
}

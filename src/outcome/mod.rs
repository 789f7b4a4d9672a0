//! The outcomes of connections: one vocabulary for events, spans, metrics and callers.

mod disconnect;
mod errors;
mod kind;

pub use disconnect::Disconnect;
pub(crate) use errors::LetGo;
pub use errors::{Rejected, TimedOut};
pub use kind::OutcomeKind;

use crate::{BoxError, cast::cast, error_chain::ErrorChain, panic::Panic};
use std::{error::Error, fmt, io, sync::Arc};

/// The way in which a connection ended.
///
/// [`kind`](Self::kind) returns it without the details, for labels and counters.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The handler returned `Ok`.
    Completed,
    /// The handler or a layer returned this error.
    ///
    /// It is the error itself and can be downcast.
    Failed(Arc<dyn Error + Send + Sync>),
    /// The client went away, and the handler returned the resulting error; or the handler returned
    /// `Ok` after input that was [cut short](Disconnect::Truncated).
    ///
    /// Only an error from the accepted client's own stream counts. The same error from another
    /// stream, such as an upstream's, leads to [`Failed`](Self::Failed).
    Disconnected(Disconnect),
    /// A layer did not admit the connection.
    ///
    /// A connection that tower's `LoadShed` turned away has the reason `overloaded`.
    Rejected(Rejected),
    /// A time limit ended the connection.
    ///
    /// A connection that was ended by tower's `Timeout` around the stack has the kind `lifetime`. The
    /// `Elapsed` of `tokio::time::timeout` leads to [`Failed`](Self::Failed), since it mostly
    /// concerns something that the handler uses, such as an upstream.
    TimedOut(TimedOut),
    /// The handler returned `Ok` after it was asked to finish, or the client had sent nothing to an
    /// [upgrade](crate::Upgrade) when the server drained.
    Drained,
    /// The connection was ended from outside: by
    /// [`ConnectionHandle::abort`](crate::ConnectionHandle::abort), at the deadline of a drain, or
    /// because its future was dropped.
    Aborted,
    /// The handler panicked with this message.
    Panicked(Arc<str>),
}

impl Outcome {
    /// Returns the kind of the outcome, without the details.
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

    /// Returns the outcome as a label, the same as [`OutcomeKind::as_str`].
    pub fn as_str(&self) -> &'static str {
        self.kind().as_str()
    }

    /// Classifies an error by its own type and by those of its sources. `happened` returns whether
    /// the connection's own stream saw its client go away in such a way.
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

    /// A plain error of the system, the most frequent case, needs no search.
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
        // These are returned bare only by a layer around the whole handler. Inside another error
        // they concern something that the handler used.
        if error.is::<tower::timeout::error::Elapsed>() {
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
            // `io::Error::source` skips the error that it holds, and returns that error's source.
            next = match io_error.and_then(io::Error::get_ref) {
                Some(held) => Some(held),
                None => error.source(),
            };
        }
        Outcome::Failed(Arc::from(error))
    }

    /// Returns the outcome of a future that was dropped before its end, by its holder or by a panic
    /// there.
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
            Outcome::Failed(error) => write!(f, "failed: {}", ErrorChain(&**error)),
            Outcome::Disconnected(disconnect) => write!(f, "disconnected: {disconnect}"),
            Outcome::Rejected(rejected) => rejected.fmt(f),
            Outcome::TimedOut(timed_out) => timed_out.fmt(f),
            Outcome::Panicked(message) => write!(f, "panicked: {message}"),
            other => f.write_str(other.as_str()),
        }
    }
}

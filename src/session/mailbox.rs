//! Sending messages to a session.

use crate::connection::ConnectionHandle;
use std::{error::Error, fmt};
use tokio::sync::mpsc;

/// Sends messages to one session. It is cheap to clone and does not keep the session open.
///
/// Mailboxes come from [`Context::mailbox`](super::Context::mailbox) and
/// [`ConnectionHandle::mailbox`](crate::ConnectionHandle::mailbox).
pub struct Mailbox<M> {
    sender: mpsc::Sender<M>,
}

impl<M> Mailbox<M> {
    pub(super) fn new(messages: usize) -> (Self, mpsc::Receiver<M>) {
        let (sender, receiver) = mpsc::channel(messages);
        (Mailbox { sender }, receiver)
    }

    /// Sends a message, and waits while the mailbox is full.
    ///
    /// In a callback of a session, prefer [`try_send`](Self::try_send): two sessions that wait for
    /// each other wait forever.
    ///
    /// # Errors
    ///
    /// Returns the message if the session is over.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it has completed, the message is not sent, and it is lost.
    pub async fn send(&self, message: M) -> Result<(), SendError<M>> {
        self.sender
            .send(message)
            .await
            .map_err(|error| SendError(error.0))
    }

    /// Sends a message without waiting.
    ///
    /// # Errors
    ///
    /// Returns the message if the mailbox is full or the session is over.
    pub fn try_send(&self, message: M) -> Result<(), TrySendError<M>> {
        self.sender.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(message) => TrySendError::Full(message),
            mpsc::error::TrySendError::Closed(message) => TrySendError::Closed(message),
        })
    }

    /// Returns whether the session is over.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl ConnectionHandle {
    /// Returns the mailbox of the connection's session, or `None` unless the connection is served
    /// by a [`Session`](crate::Session) with messages of type `M`.
    pub fn mailbox<M: Send + 'static>(&self) -> Option<Mailbox<M>> {
        let mailbox = self.entry.cold().rare.as_ref()?.mailbox.clone()?;
        let mailbox = mailbox.downcast::<Mailbox<M>>().ok()?;
        Some((*mailbox).clone())
    }
}

impl<M> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Mailbox {
            sender: self.sender.clone(),
        }
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("room", &self.sender.capacity())
            .finish_non_exhaustive()
    }
}

/// The error of sending a message to a session that is over. It contains the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<M>(pub M);

/// The error of sending a message without waiting. It contains the message.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrySendError<M> {
    /// The mailbox is full.
    Full(M),
    /// The session is over.
    Closed(M),
}

impl<M> SendError<M> {
    /// Returns the message that was not sent.
    pub fn into_inner(self) -> M {
        self.0
    }
}

impl<M> TrySendError<M> {
    /// Returns the message that was not sent.
    pub fn into_inner(self) -> M {
        match self {
            TrySendError::Full(message) | TrySendError::Closed(message) => message,
        }
    }
}

impl<M> fmt::Display for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the session is over")
    }
}

impl<M> fmt::Display for TrySendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "the session's mailbox is full",
            TrySendError::Closed(_) => "the session is over",
        })
    }
}

// Without the message, which may be secret and need not be `Debug`.
impl<M> fmt::Debug for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError")
    }
}

impl<M> fmt::Debug for TrySendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "Full",
            TrySendError::Closed(_) => "Closed",
        })
    }
}

impl<M> Error for SendError<M> {}

impl<M> Error for TrySendError<M> {}

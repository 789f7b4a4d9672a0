//! What a session can do from within a callback.

use super::{Mailbox, Options, outbox::Outbox};
use crate::{BoxError, connection::Connection};
use std::{fmt, time::Duration};
use tokio::time::Instant;

/// What a callback of a [`Session`](super::Session) acts on: its connection.
pub struct Context<'a, M> {
    pub(super) conn: &'a mut Connection,
    pub(super) state: &'a mut State<M>,
}

pub(super) struct State<M> {
    pub(super) outbox: Outbox,
    pub(super) read_timeout: Option<Duration>,
    pub(super) next_read_timeout: Option<Duration>,
    /// How long the client has been silent, counted while it is waited for.
    pub(super) silence: Duration,
    pub(super) is_closing: bool,
    mailbox: Mailbox<M>,
}

impl<M> State<M> {
    pub(super) fn new(options: Options, mailbox: Mailbox<M>) -> Self {
        State {
            outbox: Outbox::new(options.write_timeout),
            read_timeout: options.read_timeout,
            next_read_timeout: None,
            silence: Duration::ZERO,
            is_closing: false,
            mailbox,
        }
    }
}

impl<M> State<M> {
    /// Returns until when the client has to move: to take what is written, or else to send something.
    pub(super) fn deadline(&mut self, now: Instant, is_eof: bool) -> Option<Instant> {
        if !self.outbox.is_empty() {
            return self.outbox.deadline();
        }
        let limit = self.next_read_timeout.or(self.read_timeout);
        let left = limit.filter(|_| !is_eof)?.saturating_sub(self.silence);
        now.checked_add(left)
    }
}

impl<M> Context<'_, M> {
    /// The connection: who it is, what it shares, what layers said of it. Its stream is the session's.
    pub fn connection(&self) -> &Connection {
        self.conn
    }

    /// Sends to the client. It is written when the callback returns, together with what else it sent; a
    /// callback that sends more than fits in memory [flushes](Self::flush) in between.
    pub fn send(&mut self, data: impl AsRef<[u8]>) {
        self.state.outbox.push(data.as_ref());
    }

    /// Writes what was sent so far, and waits until the client's side takes it. No other callback runs
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// Returns the stream's [`io::Error`](std::io::Error) if the client is gone, and
    /// [`TimedOut`](crate::TimedOut) of the kind `write` if it is slower than the
    /// [write time-out](super::SessionService::write_timeout) allows. The callback may return either.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what was not written yet is written later.
    pub async fn flush(&mut self) -> Result<(), BoxError> {
        self.state.outbox.flush(self.conn).await
    }

    /// Ends the session after this callback: what was sent is written, the connection closed, and
    /// `on_close` called. Messages that wait in the mailbox are dropped.
    ///
    /// A client that has sent no end of file is given time to read what was written: see
    /// [`SessionService::linger`](super::SessionService::linger).
    pub fn close(&mut self) {
        self.state.is_closing = true;
    }

    /// How long the client may be silent from now on; `None` is for ever.
    pub fn set_read_timeout(&mut self, timeout: impl Into<Option<Duration>>) {
        self.state.read_timeout = timeout.into();
        self.state.next_read_timeout = None;
        self.state.silence = Duration::ZERO;
    }

    /// How long the client may be silent until it next sends something; after that the usual time holds
    /// again.
    pub fn set_next_read_timeout(&mut self, timeout: Duration) {
        self.state.next_read_timeout = Some(timeout);
        self.state.silence = Duration::ZERO;
    }

    /// Sets the [write time-out](super::SessionService::write_timeout) of this session, for what the
    /// client is not yet being waited for; `None` is for ever.
    pub fn set_write_timeout(&mut self, timeout: impl Into<Option<Duration>>) {
        self.state.outbox.timeout = timeout.into();
    }

    /// Where others can send messages for this session.
    pub fn mailbox(&self) -> Mailbox<M> {
        self.state.mailbox.clone()
    }
}

impl<M> fmt::Debug for Context<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("connection", &self.conn)
            .finish_non_exhaustive()
    }
}

//! The context that the callbacks of a session receive.

use super::{Mailbox, Options, outbox::Outbox};
use crate::{BoxError, connection::Connection};
use std::{fmt, time::Duration};
use tokio::time::Instant;

/// Access to the connection of a [`Session`](super::Session), for its callbacks.
pub struct Context<'a, M> {
    pub(super) conn: &'a mut Connection,
    pub(super) state: &'a mut State<M>,
}

pub(super) struct State<M> {
    pub(super) outbox: Outbox,
    pub(super) read_timeout: Option<Duration>,
    pub(super) next_read_timeout: Option<Duration>,
    /// How long the client has been silent, counted only while it is waited for.
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
    /// Returns the deadline of the client: to accept what is being written, or else to send
    /// something.
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
    /// Returns the connection, to read its addresses, labels and shared state. The session reads
    /// and writes the stream.
    pub fn connection(&self) -> &Connection {
        self.conn
    }

    /// Sends `data` to the client.
    ///
    /// It is written when the callback returns, together with everything else that the callback has
    /// sent. To send more than should be held in memory, call [`flush`](Self::flush) in between.
    pub fn send(&mut self, data: impl AsRef<[u8]>) {
        self.state.outbox.push(data.as_ref());
    }

    /// Writes what was sent so far, and waits until the stream has accepted it.
    ///
    /// No other callback runs meanwhile.
    ///
    /// # Errors
    ///
    /// Returns the [`io::Error`](std::io::Error) of the stream if the client has gone, and
    /// [`TimedOut`](crate::TimedOut) of the kind `write` if the client is slower than the [write
    /// timeout](super::SessionService::write_timeout) allows. The callback may return either of
    /// them.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what has not been written yet is written later.
    pub async fn flush(&mut self) -> Result<(), BoxError> {
        self.state.outbox.flush(self.conn).await
    }

    /// Ends the session after this callback.
    ///
    /// What was sent is written, the connection is closed, and
    /// [`on_close`](super::Session::on_close) is called. Messages that are still in the mailbox are
    /// dropped.
    ///
    /// A client that has not ended its input is given time to read what was written: see
    /// [`SessionService::linger`](super::SessionService::linger).
    pub fn close(&mut self) {
        self.state.is_closing = true;
    }

    /// Sets how long the client may be silent from now on; `None` means no limit.
    pub fn set_read_timeout(&mut self, timeout: impl Into<Option<Duration>>) {
        self.state.read_timeout = timeout.into();
        self.state.next_read_timeout = None;
        self.state.silence = Duration::ZERO;
    }

    /// Sets how long the client may be silent until it sends something. After that the [usual
    /// timeout](Self::set_read_timeout) applies again.
    pub fn set_next_read_timeout(&mut self, timeout: Duration) {
        self.state.next_read_timeout = Some(timeout);
        self.state.silence = Duration::ZERO;
    }

    /// Sets the [write timeout](super::SessionService::write_timeout) of this session; `None` means
    /// no limit.
    ///
    /// It does not change a deadline that is already running.
    pub fn set_write_timeout(&mut self, timeout: impl Into<Option<Duration>>) {
        self.state.outbox.timeout = timeout.into();
    }

    /// Returns the mailbox of this session, through which other tasks send messages to it.
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

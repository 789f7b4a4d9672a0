//! What a session can do from within a callback.

use super::{Mailbox, Options};
use crate::{BoxError, Connection, TimedOut};
use std::{fmt, io, time::Duration};
use tokio::io::AsyncWriteExt;

/// A buffer that grew past this is given back once it is written.
const KEPT_BUFFER: usize = 64 * 1024;

/// What a callback of a [`Session`](super::Session) acts on: its connection.
pub struct Context<'a, M> {
    pub(super) conn: &'a mut Connection,
    pub(super) state: &'a mut State<M>,
}

pub(super) struct State<M> {
    out: Vec<u8>,
    pub(super) read_timeout: Option<Duration>,
    pub(super) next_read_timeout: Option<Duration>,
    /// How long the client has been silent, counted while it is waited for.
    pub(super) silence: Duration,
    write_timeout: Option<Duration>,
    pub(super) is_closing: bool,
    mailbox: Mailbox<M>,
}

impl<M> State<M> {
    pub(super) fn new(options: Options, mailbox: Mailbox<M>) -> Self {
        State {
            out: Vec::new(),
            read_timeout: options.read_timeout,
            next_read_timeout: None,
            silence: Duration::ZERO,
            write_timeout: options.write_timeout,
            is_closing: false,
            mailbox,
        }
    }

    /// Writes what was sent. Each step forward begins the write time-out anew.
    pub(super) async fn flush(&mut self, conn: &mut Connection) -> Result<(), BoxError> {
        let limit = self.write_timeout;
        let mut written = 0;
        while written < self.out.len() {
            match in_time(limit, conn.write(&self.out[written..])).await? {
                0 => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                n => written += n,
            }
        }
        if written > 0 {
            in_time(limit, conn.flush()).await?;
        }
        self.out.clear();
        self.out.shrink_to(KEPT_BUFFER);
        Ok(())
    }

    /// Says to the client that this was all.
    pub(super) async fn shutdown(&mut self, conn: &mut Connection) -> Result<(), BoxError> {
        self.flush(conn).await?;
        match in_time(self.write_timeout, conn.shutdown()).await {
            // A client that has closed already knows.
            Err(error) if error.is::<io::Error>() => Ok(()),
            result => result,
        }
    }
}

async fn in_time<T>(
    limit: Option<Duration>,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, BoxError> {
    match limit {
        None => Ok(work.await?),
        Some(limit) => match tokio::time::timeout(limit, work).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(TimedOut::new("write").into()),
        },
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
        self.state.out.extend_from_slice(data.as_ref());
    }

    /// Writes what was sent so far, and waits until the client's side takes it, no longer than the write
    /// time-out. An error means that the client is gone; it may be returned by the callback. Not cancel
    /// safe: dropped, it may have sent a part, which it would send again.
    pub async fn flush(&mut self) -> Result<(), BoxError> {
        self.state.flush(self.conn).await
    }

    /// Ends the session after this callback: what was sent is written, the connection closed, and
    /// `on_close` called.
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

    /// How long the client may take none of what is sent to it; `None` is for ever.
    pub fn set_write_timeout(&mut self, timeout: impl Into<Option<Duration>>) {
        self.state.write_timeout = timeout.into();
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

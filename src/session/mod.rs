//! Connections as sessions: an object for each, told of data, messages, silence, drain and end.
//!
//! Where [`handle`](crate::handle) reads when it likes, a [`Session`] is told when there is something:
//! reagent's `gen_server` in active mode. Callbacks run one at a time. While one runs nothing is read from
//! the client and no message is taken. What it sent is written before anything more is read, so a client
//! that sends too fast waits in TCP. While the client takes it, the session still hears of a drain, and of
//! messages as long as less than 64 KiB waits to be written. So a client that does not read holds up
//! only those who [`send`](Mailbox::send) to it, and those can choose [not to wait](Mailbox::try_send).

mod context;
mod mailbox;
mod outbox;
mod run;

pub use context::Context;
pub use mailbox::{Mailbox, SendError, TrySendError};

use crate::{
    BoxError,
    connection::{BoxIo, Connection, Linger},
    io::IoStream,
    outcome::{Outcome, TimedOut},
};
use std::{
    any::type_name,
    fmt,
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    task,
    time::Duration,
};
use tower_service::Service;

/// What happens in a connection, as callbacks.
///
/// `on_connect` comes first and `on_close` last, once each, whatever happens between. An error from
/// a callback ends the session.
///
/// ```
/// use reagent::{BoxError, Server, session::{Context, Session}};
///
/// struct Upper;
///
/// impl Session for Upper {
///     type Message = ();
///
///     async fn on_data(&mut self, cx: &mut Context<'_, ()>, data: &[u8]) -> Result<(), BoxError> {
///         cx.send(data.to_ascii_uppercase());
///         Ok(())
///     }
/// }
///
/// let service = reagent::session(|| Upper);
/// # fn is_service(_: impl reagent::ConnectionService) {}
/// # is_service(service);
/// ```
pub trait Session: Send + 'static {
    /// What others can send to it, by its [`Mailbox`].
    type Message: Send + 'static;

    /// The connection is there; nothing has been read.
    fn on_connect(
        &mut self,
        cx: &mut Context<'_, Self::Message>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = cx;
        ready(Ok(()))
    }

    /// The client sent this: at least one byte, at most a buffer full, and cut wherever TCP cut it.
    fn on_data(
        &mut self,
        cx: &mut Context<'_, Self::Message>,
        data: &[u8],
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Somebody sent this message.
    fn on_message(
        &mut self,
        cx: &mut Context<'_, Self::Message>,
        message: Self::Message,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (cx, message);
        ready(Ok(()))
    }

    /// The client was silent for the whole read time-out. By default that ends the session with
    /// [`Outcome::TimedOut`]; if this returns `Ok` and does not close, the time begins anew.
    fn on_timeout(
        &mut self,
        cx: &mut Context<'_, Self::Message>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = cx;
        ready(Err(TimedOut::new("read").into()))
    }

    /// The client will send no more, but may still read. Closes by default; a session that stays is told
    /// of no silence any more.
    fn on_eof(
        &mut self,
        cx: &mut Context<'_, Self::Message>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        cx.close();
        ready(Ok(()))
    }

    /// The connection is to finish; told once. Closes by default. A session that stays is aborted at the
    /// deadline of the drain.
    fn on_drain(
        &mut self,
        cx: &mut Context<'_, Self::Message>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        cx.close();
        ready(Ok(()))
    }

    /// The connection is over, for this reason: the same that its
    /// [`closed`](crate::ConnectionHandle::closed) and every [`Observer`](crate::Observer) are told,
    /// also where a layer ended the session, a callback panicked or the connection was aborted.
    ///
    /// The stream is closed already, and the connection still counts until this returns. It may be
    /// called from within a `drop`, must be quick and must not block.
    fn on_close(&mut self, outcome: &Outcome) {
        let _ = outcome;
    }
}

/// Makes a service of connections that serves each by a session of its own, made by `factory`.
pub fn session<F, S>(factory: F) -> SessionService<F>
where
    F: FnMut() -> S,
    S: Session,
{
    SessionService {
        factory,
        options: Options::default(),
    }
}

/// The service that [`session`] makes; it is always ready.
#[derive(Clone)]
#[must_use = "a service does nothing until a server is started with it"]
pub struct SessionService<F> {
    factory: F,
    options: Options,
}

#[derive(Clone, Copy, Debug)]
struct Options {
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    linger: Option<Linger>,
    mailbox: usize,
    read_buffer: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            read_timeout: Some(Duration::from_secs(60)),
            write_timeout: Some(Duration::from_secs(30)),
            linger: Some(Linger::new()),
            mailbox: 64,
            read_buffer: 8 * 1024,
        }
    }
}

impl<F> SessionService<F> {
    /// How long the client may be silent; `None` is for ever. Only its bytes begin the time anew:
    /// messages and what is sent to it do not, and time spent in callbacks does not count. Default 60 s,
    /// as in thousand_island.
    pub fn read_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.read_timeout = timeout.into();
        self
    }

    /// Sets how long the client may take for each 64 KiB that is sent to it, begun ones included;
    /// `None` is for ever. Default 30 s, which is 2.2 KB/s at least.
    ///
    /// The time runs only while something waits to be written. It begins anew when what had waited is
    /// written, or 64 KiB of it: single bytes taken now and then do not count. Where the stream
    /// buffers, the flush of its buffers has this time once more.
    pub fn write_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.write_timeout = timeout.into();
        self
    }

    /// Sets how a session that closes before its client has sent an end of file gives the client time
    /// to read what was written last; `None` closes at once. Default [`Linger::new`].
    ///
    /// A session that has written nothing closes at once in any case.
    pub fn linger(mut self, limits: impl Into<Option<Linger>>) -> Self {
        self.options.linger = limits.into();
        self
    }

    /// How many messages may wait; more make their senders wait. Default 64, at least 1.
    pub fn mailbox(mut self, messages: usize) -> Self {
        self.options.mailbox = messages.max(1);
        self
    }

    /// Bytes read at most at once, and held by each session. Default 8 KiB, at least 1.
    pub fn read_buffer(mut self, bytes: usize) -> Self {
        self.options.read_buffer = bytes.max(1);
        self
    }
}

impl<F, S, Io> Service<Connection<Io>> for SessionService<F>
where
    F: FnMut() -> S,
    S: Session,
    Io: IoStream,
{
    type Response = ();
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), BoxError>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        let conn: Connection<BoxIo> = conn.boxed();
        // Messages can be sent to it from the moment in which it is there.
        let (mailbox, messages) = Mailbox::new(self.options.mailbox);
        let replaced = conn
            .handle()
            .entry
            .cold()
            .rare()
            .mailbox
            .replace(Arc::new(mailbox.clone()));
        // Outside of the lock, as it may drop messages.
        drop(replaced);
        Box::pin(run::run(
            (self.factory)(),
            conn,
            (mailbox, messages),
            self.options,
        ))
    }
}

impl<F> fmt::Debug for SessionService<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService")
            .field("factory", &type_name::<F>())
            .field("options", &self.options)
            .finish()
    }
}

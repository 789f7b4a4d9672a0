//! Connections as sessions: one object per connection, with callbacks for data, messages, silence,
//! drain and the end.
//!
//! A [`handle`](crate::handle) function reads when it wants to. A [`Session`] is called when
//! something has happened, like an Erlang `gen_server` that owns an active socket.
//!
//! Callbacks run one at a time. While one runs, nothing is read from the client and no message is
//! taken from the mailbox.
//!
//! What a callback has sent is written before more is read, so TCP slows down a client that sends
//! faster than it reads. Meanwhile the session still handles a drain, and also messages while less
//! than 64 KiB waits to be written. A client that does not read therefore holds up only the tasks
//! that [`send`](Mailbox::send) to its session, and these can choose [not to
//! wait](Mailbox::try_send).

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

/// A handler with callbacks for the events of its connection.
///
/// [`on_connect`](Self::on_connect) is called first and [`on_close`](Self::on_close) last, once
/// each, whatever happens in between. An error from a callback ends the session. If the connection
/// is aborted, the future of the callback that is running is dropped.
///
/// # Example
///
/// ```
/// use reagent::{BoxError, Server, Session, session::Context};
/// use tokio::{
///     io::{AsyncReadExt, AsyncWriteExt},
///     net::TcpStream,
/// };
///
/// struct Upper;
///
/// impl Session for Upper {
///     type Message = String;
///
///     async fn on_data(
///         &mut self,
///         cx: &mut Context<'_, String>,
///         data: &[u8],
///     ) -> Result<(), BoxError> {
///         cx.send(data.to_ascii_uppercase());
///         Ok(())
///     }
///
///     async fn on_message(
///         &mut self,
///         cx: &mut Context<'_, String>,
///         message: String,
///     ) -> Result<(), BoxError> {
///         cx.send(message);
///         cx.close();
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let server = Server::bind("127.0.0.1:0")
///     .start(reagent::session(|| Upper))
///     .await?;
/// let mut client = TcpStream::connect(server.local_addr().to_string()).await?;
/// client.write_all(b"hello").await?;
/// let mut answer = [0; 5];
/// client.read_exact(&mut answer).await?;
/// assert_eq!(&answer, b"HELLO");
///
/// // Any task can find a session by the id of its connection, and send to it.
/// let id = server.connections()[0].id;
/// let handle = server.connection(id).expect("the client is connected");
/// let mailbox = handle.mailbox::<String>().expect("it is served by a session");
/// mailbox.send("bye".to_owned()).await?;
/// let mut rest = String::new();
/// client.read_to_string(&mut rest).await?;
/// assert_eq!(rest, "bye");
/// # Ok(())
/// # }
/// ```
pub trait Session: Send + 'static {
    /// The type of the messages that other tasks send to the session through its [`Mailbox`].
    type Message: Send + 'static;

    /// Called when the connection is established, before anything is read.
    fn on_connect(
        &mut self,
        cx: &mut Context<'_, Self::Message>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = cx;
        ready(Ok(()))
    }

    /// Called with bytes from the client: at least one, at most a buffer full, split wherever TCP
    /// has split them.
    fn on_data(
        &mut self,
        cx: &mut Context<'_, Self::Message>,
        data: &[u8],
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Called with a message from the mailbox.
    fn on_message(
        &mut self,
        cx: &mut Context<'_, Self::Message>,
        message: Self::Message,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (cx, message);
        ready(Ok(()))
    }

    /// Called when the client was silent for the whole read timeout.
    ///
    /// By default, this ends the session with [`Outcome::TimedOut`]. If it returns `Ok` without
    /// closing the session, the time starts again.
    fn on_timeout(
        &mut self,
        cx: &mut Context<'_, Self::Message>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = cx;
        ready(Err(TimedOut::new("read").into()))
    }

    /// Called when the client has ended its input. The client may still read.
    ///
    /// By default, this closes the session. If the session stays open, there are no further
    /// timeouts for silence.
    fn on_eof(
        &mut self,
        cx: &mut Context<'_, Self::Message>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        cx.close();
        ready(Ok(()))
    }

    /// Called once, when the connection is asked to finish.
    ///
    /// By default, this closes the session. If the session stays open, it is aborted at the
    /// deadline of the drain.
    fn on_drain(
        &mut self,
        cx: &mut Context<'_, Self::Message>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        cx.close();
        ready(Ok(()))
    }

    /// Called when the connection is over, with its outcome.
    ///
    /// It is the same outcome that [`closed`](crate::ConnectionHandle::closed) and every
    /// [`Observer`](crate::Observer) receive, even if a layer ended the session, a callback
    /// panicked or the connection was aborted.
    ///
    /// The stream is already closed, and the connection is counted as open until this callback
    /// returns. It may be called from within a `drop`, must return quickly and must not block.
    fn on_close(&mut self, outcome: &Outcome) {
        let _ = outcome;
    }
}

/// Creates a service that serves each connection with a new session from `factory`.
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

/// The service that [`session`] returns. It is always ready.
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
    /// Sets how long the client may be silent; `None` means no limit. The default is 60 s, as in
    /// thousand_island.
    ///
    /// Only bytes from the client restart the time, not messages or bytes sent to it. Time spent in
    /// callbacks does not count.
    pub fn read_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.read_timeout = timeout.into();
        self
    }

    /// Sets how long the client may take to accept what is sent to it, for each 64 KiB; `None`
    /// means no limit. The default is 30 s, which requires at least 2.2 KB/s.
    ///
    /// The time starts when bytes have to wait, and restarts when those bytes, or the first 64 KiB
    /// of them, have been written: single bytes accepted now and then do not restart it. If the
    /// stream has buffers, flushing them gets the same time again.
    pub fn write_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.write_timeout = timeout.into();
        self
    }

    /// Sets the limits of the lingering close; `None` closes at once. The default is
    /// [`Linger::new`].
    ///
    /// If a session closes before its client has ended its input, a lingering close gives the
    /// client time to read what was written last: see [`Linger`]. A session that has written
    /// nothing always closes at once.
    pub fn linger(mut self, limits: impl Into<Option<Linger>>) -> Self {
        self.options.linger = limits.into();
        self
    }

    /// Sets how many messages the mailbox holds, at least 1. The default is 64. Senders wait while
    /// it is full.
    pub fn mailbox(mut self, messages: usize) -> Self {
        self.options.mailbox = messages.max(1);
        self
    }

    /// Sets the size of the read buffer that each session holds, at least 1 byte. The default is 8
    /// KiB.
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
        // Messages can be sent as soon as the connection exists.
        let (mailbox, messages) = Mailbox::new(self.options.mailbox);
        let replaced = conn
            .handle()
            .entry
            .cold()
            .rare()
            .mailbox
            .replace(Arc::new(mailbox.clone()));
        // Outside the lock, since it may drop messages.
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

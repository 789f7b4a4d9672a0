//! The trait of listeners.

use super::SocketListener;
use crate::{Transport, addr::Addr};
use std::{
    fmt, io,
    task::{Context, Poll},
    time::Duration,
};

/// A queue of clients that wait to be accepted.
///
/// The [sockets](crate::SocketListener) of [`Server::bind`](crate::Server::bind) are listeners, and
/// [`testing`](crate::testing) has listeners without sockets. Implement this trait to serve clients
/// from another source, such as VSOCK or the streams of another protocol.
///
/// Waiting and accepting are separate steps, so that a server accepts a client only when it can
/// serve it.
///
/// Each acceptor drives its own handle, made by [`try_clone`](Self::try_clone), and always from the
/// same task.
///
/// # Errors
///
/// [`ErrorClass`](crate::ErrorClass) decides what an acceptor does after an error of
/// [`poll_ready`](Self::poll_ready) or [`try_accept`](Self::try_accept): it continues with the next
/// client, tries again later, or gives up the listener and calls [`try_reopen`](Self::try_reopen).
///
/// # Example
///
/// A listener whose clients are streams sent by another task. A channel has only one waker, so this
/// listener is for a server with one acceptor, the default:
///
/// ```
/// use reagent::{Accepted, Addr, Connection, Error, Listener, Server, Transport};
/// use std::{
///     io,
///     sync::{Arc, Mutex},
///     task::{Context, Poll, ready},
/// };
/// use tokio::{
///     io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
///     sync::mpsc,
/// };
///
/// struct ChannelListener {
///     shared: Arc<Mutex<Shared>>,
/// }
///
/// struct Shared {
///     streams: mpsc::Receiver<DuplexStream>,
///     /// Received, but not accepted yet.
///     next: Option<DuplexStream>,
/// }
///
/// impl Listener for ChannelListener {
///     fn local_addr(&self) -> Addr {
///         Addr::Other("channel".into())
///     }
///
///     fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
///         let mut shared = self.shared.lock().unwrap();
///         if shared.next.is_none() {
///             let Some(stream) = ready!(shared.streams.poll_recv(cx)) else {
///                 // All senders are gone. This kind means that the listener is lost.
///                 return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
///             };
///             shared.next = Some(stream);
///         }
///         Poll::Ready(Ok(()))
///     }
///
///     fn try_accept(&mut self) -> io::Result<Accepted> {
///         let mut shared = self.shared.lock().unwrap();
///         let next = shared.next.take();
///         let stream = next.or_else(|| shared.streams.try_recv().ok());
///         let stream = stream.ok_or(io::ErrorKind::WouldBlock)?;
///         Ok(Accepted::new(Transport::other(stream), self.local_addr()))
///     }
///
///     fn pending(&mut self) -> Option<bool> {
///         let shared = self.shared.lock().unwrap();
///         Some(shared.next.is_some() || !shared.streams.is_empty())
///     }
///
///     fn try_clone(&self) -> io::Result<Box<dyn Listener>> {
///         let shared = self.shared.clone();
///         Ok(Box::new(ChannelListener { shared }))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let (sender, streams) = mpsc::channel(16);
/// let shared = Shared { streams, next: None };
/// let server = Server::new(ChannelListener { shared: Arc::new(Mutex::new(shared)) })
///     .start(reagent::handle(|mut conn: Connection| async move {
///         conn.write_all(b"hello").await
///     }))
///     .await?;
///
/// let (mut client, stream) = duplex(64);
/// sender.send(stream).await?;
/// let mut greeting = String::new();
/// client.read_to_string(&mut greeting).await?;
/// assert_eq!(greeting, "hello");
///
/// // The listener cannot be reopened, so the server stops when it is lost.
/// drop(sender);
/// let error = server.wait().await.unwrap_err();
/// assert!(matches!(*error, Error::ListenersLost));
/// # Ok(())
/// # }
/// ```
pub trait Listener: Send + 'static {
    /// Returns the address that the listener listens on. It must not change.
    fn local_addr(&self) -> Addr;

    /// Returns whether this address is the local address of every connection. It is not for a
    /// wildcard address. The default is `true`.
    fn is_local_addr_fixed(&self) -> bool {
        true
    }

    /// Waits until a client may be waiting.
    ///
    /// Spurious readiness is allowed: [`try_accept`](Self::try_accept) then returns
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), and the next call of this method must wait.
    ///
    /// # Errors
    ///
    /// Returns the reason why no client can be waited for; see [the trait](Self#errors).
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Accepts the next client without waiting.
    ///
    /// # Errors
    ///
    /// Returns [`WouldBlock`](io::ErrorKind::WouldBlock) if and only if the queue is empty;
    /// `poll_ready` must then wait. For other errors, see [the trait](Self#errors).
    fn try_accept(&mut self) -> io::Result<Accepted>;

    /// Returns whether a client is waiting now, or `None` if that cannot be known without accepting
    /// one.
    ///
    /// After `Some(false)`, `poll_ready` must wait. An acceptor calls this method before it waits
    /// for something scarce, such as a place under `max_connections`. With `None`, which is the
    /// default, it trusts `poll_ready`.
    fn pending(&mut self) -> Option<bool> {
        None
    }

    /// Creates another handle to the same queue.
    ///
    /// # Errors
    ///
    /// Returns the reason why there can be no other handle, such as a lack of descriptors.
    fn try_clone(&self) -> io::Result<Box<dyn Listener>>;

    /// Opens another queue at the same address beside this one (`SO_REUSEPORT`).
    ///
    /// Returns `None` if there can be only one queue, which is the default.
    fn try_another(&self) -> Option<io::Result<Box<dyn Listener>>> {
        None
    }

    /// Refuses clients that are not in the queue yet, and keeps those that are.
    ///
    /// A server calls this method before it accepts the last clients and closes the queue, so that
    /// no client is lost in between. Accepting may fail from then on, once the queue is empty.
    ///
    /// Returns how long the queue should remain open for clients that have begun to connect. The
    /// default does nothing and returns zero.
    fn refuse_new(&self) -> Duration {
        Duration::ZERO
    }

    /// Opens a new queue at the same address to replace this one, which is lost.
    ///
    /// Returns `None` if that is impossible, which is the default. The listener is then lost for
    /// good.
    fn try_reopen(&self) -> Option<io::Result<Box<dyn Listener>>> {
        None
    }

    /// Returns the listening socket, if this listener is one or wraps one.
    ///
    /// A server hands its sockets over to its successor: see [`Handover`](crate::Handover). With
    /// `None`, which is the default, the listener stays with this server.
    fn as_socket(&self) -> Option<&SocketListener> {
        None
    }
}

impl fmt::Debug for dyn Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(&self.local_addr()).finish()
    }
}

/// A client that was accepted by a [`Listener`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Accepted {
    /// The stream to the client.
    pub transport: Transport,
    /// The address of the client.
    pub peer: Addr,
}

impl Accepted {
    /// Creates the result of accepting the client at `peer`.
    pub fn new(transport: impl Into<Transport>, peer: Addr) -> Self {
        Accepted {
            transport: transport.into(),
            peer,
        }
    }
}

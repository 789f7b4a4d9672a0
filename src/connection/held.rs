//! A client that is kept connected without being served.

use super::{Connection, ConnectionHandle, box_io::BoxIo, entry::flag, open_guard::OpenGuard};
use crate::io::IoStream;
use crate::listener::PlainStream;
use std::{
    fmt,
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    task::Poll,
};
use tokio::io::{AsyncRead, ReadBuf};

/// A connection that is neither read nor written, from [`Connection::hold`]. Dropping it closes the
/// connection.
///
/// It counts towards `max_connections` like any other connection.
#[must_use = "dropping it closes the connection"]
pub struct HeldConnection {
    // Dropped before the guard, which gives the place to the next client.
    stream: Stream,
    guard: OpenGuard,
}

enum Stream {
    Socket(PlainStream),
    Other(BoxIo),
}

impl<Io: IoStream> Connection<Io> {
    /// Reduces the connection to its socket: drops the streams of all layers, without a last
    /// message of theirs, and the extensions.
    ///
    /// It is for layers that keep a client waiting on purpose. The layer returns its error at once,
    /// so that the futures of the connection are gone as well, and drops the held connection later.
    ///
    /// A stream that is not a socket of the system is kept with everything around it. The
    /// [`ConnectionHandle`] of a held connection has no socket.
    ///
    /// # Example
    ///
    /// ```
    /// use reagent::{Connection, Server};
    /// use tokio::{io::AsyncReadExt, net::TcpStream, sync::mpsc};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), reagent::BoxError> {
    /// let (sender, mut held) = mpsc::channel(10);
    /// let server = Server::bind("127.0.0.1:0")
    ///     .start(reagent::handle(move |conn: Connection| {
    ///         let sender = sender.clone();
    ///         async move { sender.try_send(conn.hold()).map_err(std::io::Error::other) }
    ///     }))
    ///     .await?;
    ///
    /// let client = TcpStream::connect(server.local_addr().to_string()).await?;
    /// let mut held = held.recv().await.unwrap();
    /// drop(client);
    /// held.ended().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn hold(self) -> HeldConnection {
        let (io, parts) = self.into_parts();
        let guard = OpenGuard::new(&parts.handle);
        let stream = match parts.handle.entry.socket.take() {
            // The streams of layers no longer reach the socket. They are dropped with the parts.
            Some(socket) => Stream::Socket(socket),
            None => {
                return HeldConnection {
                    stream: Stream::Other(BoxIo::new(io)),
                    guard,
                };
            }
        };
        HeldConnection { stream, guard }
    }
}

impl HeldConnection {
    /// Returns the handle of the connection.
    pub fn handle(&self) -> &ConnectionHandle {
        self.guard.handle()
    }

    /// Waits until the client has closed the connection or its side of it, the connection is asked
    /// to finish, or it is aborted.
    ///
    /// Nothing is read, so the kernel keeps what the client sends, up to its receive window. Its close is noticed at
    /// once, unless it waits behind bytes that the window holds back. Elsewhere than on Linux, a
    /// close is not noticed after the client has sent anything. The same goes for a stream that is
    /// not a socket, of which one byte is read.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it can be called again.
    pub async fn ended(&mut self) {
        let HeldConnection { stream, guard } = self;
        let mut left = pin!(stream.left());
        let mut draining = pin!(guard.handle().until_draining());
        poll_fn(|cx| {
            // An abort wakes the reader.
            guard.entry().socket.register_reader(cx);
            let is_over = guard.entry().is_aborted()
                || draining.as_mut().poll(cx).is_ready()
                || left.as_mut().poll(cx).is_ready();
            if is_over {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

impl Stream {
    /// Waits until the client has closed its side.
    async fn left(&mut self) {
        let has_left = match self {
            Stream::Socket(socket) => socket.closed_by_peer().await,
            Stream::Other(io) => {
                let mut byte = [0];
                let mut buf = ReadBuf::new(&mut byte);
                let read = poll_fn(|cx| Pin::new(&mut *io).poll_read(cx, &mut buf)).await;
                read.is_err() || buf.filled().is_empty()
            }
        };
        if !has_left {
            pending::<()>().await;
        }
    }
}

impl Drop for HeldConnection {
    fn drop(&mut self) {
        if let (Stream::Socket(socket), true) = (&self.stream, self.guard.entry().has(flag::RESET))
        {
            socket.reset_on_close();
        }
    }
}

impl fmt::Debug for HeldConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle().fmt(f)
    }
}

//! The treatment of clients that are not admitted.

#[cfg(any(
    feature = "access",
    feature = "cluster",
    feature = "limit",
    feature = "pressure"
))]
mod future;
mod keeper;
mod tarpit;

#[cfg(all(
    feature = "cluster",
    not(any(feature = "access", feature = "limit", feature = "pressure"))
))]
pub(crate) use future::LimitFuture;
#[cfg(any(feature = "access", feature = "limit", feature = "pressure"))]
pub use future::LimitFuture;
pub use tarpit::{Tarpit, TarpitStats};

use reagent::{BoxError, Connection, IoStream, Linger, Rejected};
use std::{borrow::Cow, fmt, sync::Arc, time::Duration};
use tokio::{io::AsyncWriteExt, time::timeout};

/// The time limit for sending the message, and again for the client to close.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(1);

/// The treatment of a client that a layer does not admit.
///
/// # Example
///
/// A message that clients receive before they are turned away:
///
/// ```
/// # #[cfg(feature = "route")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// use reagent::{Server, testing::MemoryListener};
/// use reagent_layers::{Refusal, route::Router};
/// use tokio::io::AsyncReadExt;
///
/// let (listener, clients) = MemoryListener::new();
/// // The router has no routes, so it refuses everybody.
/// let router = Router::new().refusal(Refusal::message("421 no service here\r\n"));
/// let server = Server::new(listener).start(router).await?;
///
/// let mut client = clients.connect().await?;
/// let mut received = String::new();
/// client.read_to_string(&mut received).await?;
/// assert_eq!(received, "421 no service here\r\n");
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "route"))]
/// # fn main() {}
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Refusal {
    /// Closes the connection. If the client has sent data that was not read, the operating system
    /// turns the close into a reset.
    #[default]
    Close,
    /// Resets the connection. The client gets an error at once, and no `TIME_WAIT` state is left
    /// behind.
    Reset,
    /// Sends these bytes and then closes the connection. Use a line of text, or the error message
    /// of the protocol.
    ///
    /// Sending may take up to 1 second, and the client then has up to 1 second to close its side.
    Message(Arc<[u8]>),
    /// Keeps the connection open without an answer, or closes it if the tarpit is full.
    Tarpit(Tarpit),
}

impl Refusal {
    /// Creates a [`Refusal::Message`], which sends `bytes` to the client before its connection is
    /// closed.
    pub fn message(bytes: impl AsRef<[u8]>) -> Self {
        Refusal::Message(bytes.as_ref().into())
    }

    /// Creates a [`Refusal::Tarpit`], which keeps the client waiting: see [`Tarpit`].
    pub fn tarpit(tarpit: &Tarpit) -> Self {
        Refusal::Tarpit(tarpit.clone())
    }

    /// Returns whether clients get a reset.
    #[cfg(feature = "access")]
    pub(crate) fn is_reset(&self) -> bool {
        matches!(self, Refusal::Reset)
    }

    /// Refuses the connection and returns the error to end it with.
    pub(crate) async fn refuse<Io: IoStream>(
        &self,
        mut conn: Connection<Io>,
        reason: impl Into<Cow<'static, str>>,
    ) -> BoxError {
        match self {
            Refusal::Close => {}
            Refusal::Reset => conn.reset(),
            Refusal::Tarpit(tarpit) => tarpit.take(conn),
            Refusal::Message(bytes) => {
                // If the client does not accept the message, the connection is closed without it.
                let message = async {
                    conn.write_all(bytes).await?;
                    conn.flush().await
                };
                if matches!(timeout(MESSAGE_TIMEOUT, message).await, Ok(Ok(()))) {
                    // If the client sent data that nobody read, a plain close would turn into a
                    // reset, and the message would be lost.
                    conn.close_lingering(Linger::new().total(MESSAGE_TIMEOUT))
                        .await;
                }
            }
        }
        Rejected::new(reason).into()
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Close => f.write_str("Close"),
            Refusal::Reset => f.write_str("Reset"),
            Refusal::Message(bytes) => write!(f, "Message({} bytes)", bytes.len()),
            Refusal::Tarpit(tarpit) => tarpit.fmt(f),
        }
    }
}

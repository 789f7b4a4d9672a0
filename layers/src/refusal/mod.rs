//! How a client that is not admitted is turned away.

#[cfg(any(feature = "access", feature = "limit"))]
mod future;

#[cfg(any(feature = "access", feature = "limit"))]
pub use future::LimitFuture;

use reagent::{BoxError, Connection, IoStream, Linger, Rejected};
use std::{borrow::Cow, fmt, sync::Arc, time::Duration};
use tokio::{io::AsyncWriteExt, time::timeout};

/// How long a client may take to receive its message, and again to close.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(1);

/// The treatment of a client that a layer does not admit.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Refusal {
    /// Closes the connection. Where the client has sent something that was not read, the system makes
    /// a reset of that.
    #[default]
    Close,
    /// Resets the connection: the client gets an error at once, and no `TIME_WAIT` is left behind.
    Reset,
    /// Sends these bytes, in a second at most, and closes the connection, which takes another second
    /// at most where the client does not close: a line of text, or what the client's protocol has for
    /// the purpose.
    Message(Arc<[u8]>),
}

impl Refusal {
    /// Sends `bytes` to a client before its connection is closed.
    pub fn message(bytes: impl AsRef<[u8]>) -> Self {
        Refusal::Message(bytes.as_ref().into())
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
            Refusal::Message(bytes) => {
                // A client that does not want it does not get it.
                let message = async {
                    conn.write_all(bytes).await?;
                    conn.flush().await
                };
                if matches!(timeout(MESSAGE_TIMEOUT, message).await, Ok(Ok(()))) {
                    // Bytes that the client sent and nobody read would turn the close into a reset,
                    // and the message would be lost.
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
        }
    }
}

//! How a client that is not admitted is told so.

use reagent::{BoxError, Connection, IoStream, Linger, Rejected};
use std::{borrow::Cow, fmt, sync::Arc, time::Duration};
use tokio::{io::AsyncWriteExt, time::timeout};

/// How long a client may take to receive its farewell, and again to close.
const FAREWELL: Duration = Duration::from_secs(1);

/// What is done to a client that a layer does not admit.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Refusal {
    /// It is closed. Where it has sent something that was not read, the system makes a reset of that.
    #[default]
    Close,
    /// It is reset: it gets an error at once, and leaves no `TIME_WAIT` behind.
    Reset,
    /// It is sent these bytes, in a second at most, and closed, which takes another second at most
    /// where the client does not close: a line that says what to do, or what its
    /// protocol has for the purpose.
    Farewell(Arc<[u8]>),
}

impl Refusal {
    /// Sends this to whoever is not admitted.
    pub fn farewell(bytes: impl AsRef<[u8]>) -> Self {
        Refusal::Farewell(bytes.as_ref().into())
    }

    /// Does it, and says so.
    pub(crate) async fn refuse<Io: IoStream>(
        &self,
        mut conn: Connection<Io>,
        reason: impl Into<Cow<'static, str>>,
    ) -> BoxError {
        match self {
            Refusal::Close => {}
            Refusal::Reset => conn.reset(),
            Refusal::Farewell(bytes) => {
                // A client that does not want it does not get it.
                let farewell = async {
                    conn.write_all(bytes).await?;
                    conn.flush().await
                };
                if matches!(timeout(FAREWELL, farewell).await, Ok(Ok(()))) {
                    // What it sent unasked would make a reset of the close, and lose it the farewell.
                    conn.close_lingering(Linger::new().total(FAREWELL)).await;
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
            Refusal::Farewell(bytes) => write!(f, "Farewell({} bytes)", bytes.len()),
        }
    }
}

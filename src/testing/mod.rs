//! Listeners for tests: one without sockets, and one with scripted failures.
//!
//! They run the same server code as sockets do, with any Tokio clock. Here an hour passes in no
//! time:
//!
//! ```
//! use reagent::{Connection, Server, testing::MemoryListener};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener)
//!     .start(reagent::handle(|mut conn: Connection| async move {
//!         tokio::time::sleep(std::time::Duration::from_secs(3600)).await; // takes no time here
//!         conn.write_all(b"hello").await
//!     }))
//!     .await?;
//!
//! let mut client = clients.connect().await?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer).await?;
//! assert_eq!(answer, "hello");
//! # Ok(())
//! # }
//! ```

mod flaky;
mod memory;
mod wakers;

pub use flaky::{FlakyListener, Script};
pub use memory::{Clients, MemoryListener};

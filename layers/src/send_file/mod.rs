//! Sends files without copying them through the program.
//!
//! # When to use it
//!
//! Use it in a handler that sends the contents of a file, or a range of it: downloads, log or
//! segment files of a broker. On Linux the kernel moves the bytes from its page cache to the socket
//! (`sendfile(2)`). Elsewhere, and where a layer needs to see the bytes, they are copied through a
//! buffer of 64 KiB.
//!
//! # Position in the stack
//!
//! It is not a layer. It is called by the handler, and so is innermost: bytes are counted and
//! limited by the layers around the handler like those of any other write.
//!
//! # Example
//!
//! ```
//! use reagent::{Connection, Server};
//! use reagent_layers::send_file::SendFile;
//! use std::{fs::File, sync::Arc};
//! use tokio::{io::AsyncReadExt, net::TcpStream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let path = std::env::temp_dir().join(format!("send-file-{}", std::process::id()));
//! std::fs::write(&path, "0123456789")?;
//! let file = Arc::new(File::open(&path)?);
//! # std::fs::remove_file(&path)?;
//!
//! let server = Server::bind("127.0.0.1:0")
//!     .start(reagent::handle(move |mut conn: Connection| {
//!         let file = file.clone();
//!         async move { conn.send_file(file, 3..7).await.map(drop) }
//!     }))
//!     .await?;
//!
//! let mut client = TcpStream::connect(server.local_addr().to_string()).await?;
//! let mut received = String::new();
//! client.read_to_string(&mut received).await?;
//! assert_eq!(received, "3456");
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! ## Where bytes are copied
//!
//! The kernel moves the bytes if the connection is a TCP or Unix socket and every layer around it
//! passes bytes through unseen (`Connection::is_direct`), as time limits and bandwidth limits do.
//! With TLS they are copied, since they have to be encrypted. The kernel could encrypt them itself
//! (kTLS, `TCP_ULP`), but that needs a kernel module that many systems do not load, session keys
//! that leave rustls, and a way back for key updates and alerts, which the kernel leaves to the
//! program. It is not supported.
//!
//! ## Reading from the disk
//!
//! Files are read as they are sent, at most 256 KiB ahead. On Linux, a part that is not in the page
//! cache is read by a thread for blocking work first, so that the runtime does not wait for the
//! disk. There are exceptions: the kernel may need the memory for something else before the part is
//! sent, only the end of each part is looked at, and some file systems (such as network file
//! systems and FUSE) do not tell what is in memory. In these cases the runtime's thread waits for
//! the disk. Elsewhere, every part is read by a thread for blocking work.
//!
//! A read that has begun is finished even if the connection ends meanwhile.
//!
//! # Errors
//!
//! There are the errors of the connection's stream and of reading the file.

mod cache;
mod read_at;
mod send;

pub use send::SendFile;

//! Answers the health checks of load balancers and orchestrators: `/ready` and `/live`.
//!
//! # When to use it
//!
//! Use it when something outside the process decides whether clients are sent to a server: a
//! Kubernetes probe, the health check of a load balancer, or a deploy script. [`Health`] reports
//! what [`ServerHandle::readiness`] says, so that a server which is about to shut down, or is
//! paused, gets no new clients while it still serves those that come.
//!
//! It is an HTTP service rather than a connection layer, and needs no other feature of this crate.
//!
//! # Position in the stack
//!
//! [`Health`] goes where an HTTP service goes: under the layer of the feature `http` on a separate
//! server, or into a router such as axum's, with `route_service` or `fallback_service`.
//!
//! A separate server, on another port, is the better place. It answers while the main server
//! drains, when the main server's sockets are closed. It also answers when the main server is at
//! `max_connections`, where a probe would wait in the queue and time out.
//!
//! # Example
//!
#![cfg_attr(feature = "http", doc = "```")]
#![cfg_attr(not(feature = "http"), doc = "```ignore")]
//! use reagent::{Connection, Server, handle};
//! use reagent_layers::{health::Health, http::HttpLayer};
//! use std::time::Duration;
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::TcpStream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let health = Health::new();
//! let probes = Server::bind("127.0.0.1:0")
//!     .layer(HttpLayer::new())
//!     .start(health.clone())
//!     .await?;
//!
//! let server = Server::bind("127.0.0.1:0")
//!     .start(handle(async |_: Connection| std::io::Result::Ok(())))
//!     .await?;
//! // Until here, `/ready` answers 503.
//! health.add(&server);
//!
//! let mut probe = TcpStream::connect(probes.local_addr().to_string()).await?;
//! probe.write_all(b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
//! let mut answer = String::new();
//! probe.read_to_string(&mut answer).await?;
//! assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"));
//! assert!(answer.ends_with("\r\n\r\nready\n"));
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! | path | answer |
//! |---|---|
//! | `/ready` | 200 if all servers are [ready](reagent::Readiness), and otherwise 503 with the reason. Before the first server is added, it is 503. |
//! | `/live` | 200 if no server has stopped, and otherwise 503: the process is to be restarted |
//! | another path | 404 |
//!
//! Once a successor [has taken over](Health::handed_over), both answer 200.
//!
//! The methods are GET and HEAD; others are answered with 405. A query is ignored. The body is one
//! line of plain text, and no answer may be cached.
//!
//! Do not use `/ready` as a liveness probe. A server that is shutting down is alive, and restarting
//! it would cut its clients off.
//!
//! The answers reveal the reasons that were passed to [`Readiness::hold`], so keep the port of the
//! probes private if those are.
//!
//! # Errors
//!
//! The service never fails.
//!
//! [`Readiness::hold`]: reagent::Readiness::hold
//! [`ServerHandle::readiness`]: reagent::ServerHandle::readiness

mod service;

pub use service::Health;

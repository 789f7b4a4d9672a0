//! Shows a running server and changes it: an interface of JSON over HTTP, and a page for browsers
//! that uses it.
//!
//! # When to use it
//!
//! Use it to look at the connections of a server and to intervene: end a connection, ban a client,
//! change a limit, pause a listener, drain the server. To monitor servers over a long time, use the
//! feature `metrics`: the plots of the page begin when the page is opened.
//!
//! # Position in the stack
//!
//! [`Admin`] is not a layer but a `tower::Service` of HTTP requests. Serve it by
//! [`HttpLayer`](crate::http::HttpLayer), or mount it in an `axum::Router` with
//! `nest_service("/admin/", admin)`. It may be served by the server that it shows or by another
//! one. Another one is better: it can still be reached when the first is paused or its limit is
//! reached.
//!
//! # Example
//!
//! ```
//! use reagent::{Connection, Server};
//! use reagent_layers::{admin::Admin, http::HttpLayer, timeout::TimeoutsLayer};
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::TcpStream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let server = Server::bind("127.0.0.1:0")
//!     .start(reagent::handle(|conn: Connection| async move {
//!         conn.draining().await;
//!         Ok::<_, std::io::Error>(())
//!     }))
//!     .await?;
//!
//! let admin = Admin::new();
//! let page = Server::bind("127.0.0.1:0")
//!     .max_connections(100)
//!     .layer(HttpLayer::new())
//!     .start(admin.clone())
//!     .await?;
//! admin.check_addr(page.local_addr())?;
//! admin.attach(&server);
//! println!("admin page on http://{}/", page.local_addr());
//!
//! let _client = TcpStream::connect(server.local_addr().socket_addr().unwrap()).await?;
//! # while server.connection_count() == 0 { tokio::task::yield_now().await; }
//! let mut browser = TcpStream::connect(page.local_addr().socket_addr().unwrap()).await?;
//! browser
//!     .write_all(b"GET /connections HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
//!     .await?;
//! let mut answer = String::new();
//! browser.read_to_string(&mut answer).await?;
//! assert!(answer.contains(r#"[{"id":1,"client":"127.0.0.1:"#));
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! ## Reading
//!
//! | path | answer |
//! |---|---|
//! | `/` | the page |
//! | `/connections` | an array of open connections |
//! | `/connections/ID` | one of them |
//! | `/listeners` | an array of listeners, with the fields of [`ListenerStats`](reagent::ListenerStats) |
//! | `/limits`, `/limits/NAME` | an array of limits with `name`, `max`, `unit`, or one of them |
//! | `/bans` | an array of at most 1,000 bans with `client` and `ends_in`, the longest first |
//! | `/certificates` | an array of certificates with `name`, `not_after` and `expires_in` |
//! | `/top` | an array of the clients with the most `connections`, `bytes` or `refusals`, by the key `by` of the query, with `client`, `count`, and the `error` by which the count may be too high; `limit` is 10 by default |
//! | `/stats` | the counters of [`Stats`](reagent::Stats); the bytes include those of open connections |
//! | `/upstreams` | an array of upstreams with the fields of [`UpstreamInfo`], and `changeable` |
//! | `/ready` | 200 if the server is [ready](reagent::ServerHandle::readiness), otherwise 503 and the `reason` |
//! | `/live` | 200 unless the server has stopped |
//!
//! Once a successor [has taken over](Admin::handed_over), `/ready` and `/live` answer 200.
//!
//! Times are in seconds. `null` means that there is no limit, or that a value is unknown. A connection has
//! these fields: `id`, `client` (the address and port), `proxy` (the other end of the socket, if a
//! proxy reported the client), `listener`, `listener_label`, `age`, `idle`, `bytes_read`, `bytes_written`,
//! `rate_read` and `rate_written` (bytes per second: see
//! [`ConnectionHandle::rate`](reagent::ConnectionHandle::rate)), `phase`, `secure`, `draining`, and
//! an object of `labels`.
//!
//! The query of `/connections` may have these keys; any other is refused with 400.
//!
//! | key | value | default |
//! |---|---|---|
//! | `sort` | `age`, `bytes`, `idle` or `rate`: the largest comes first | `age` |
//! | `client` | an IP address, or a network such as `192.0.2.0/24` | all |
//! | `limit` | how many to list, 1,000 at most | 100 |
//! | `after` | where the next page begins | |
//!
//! The header `x-total-count` has the number of connections that match. If there are more than
//! listed, the header `link` has the query of the next page.
//!
//! ## Writing
//!
//! | request | body | effect |
//! |---|---|---|
//! | `POST /connections/ID/abort` | | ends the connection |
//! | `POST /connections/ID/drain` | | asks the connection to finish |
//! | `POST /listeners/ADDR/pause` | | lets new clients of the listener wait |
//! | `POST /listeners/ADDR/resume` | | accepts them again |
//! | `POST /listeners/ADDR/close` | | closes the listener; its open connections stay |
//! | `POST /limits/NAME` | `{"max": 10}` or `{"max": null}` | changes or lifts the limit |
//! | `POST /bans` | `{"client": "192.0.2.1", "seconds": 600}` | bans the client, which is an IP address and no network; its open connections stay |
//! | `DELETE /bans/CLIENT` | | lifts the ban |
//! | `POST /upstreams/SET/NAME/drain` | | makes no more connections to the upstream; its open connections stay |
//! | `POST /upstreams/SET/NAME/resume` | | makes connections to it again |
//! | `POST /upstreams/SET/NAME/weight` | `{"weight": 2}` | sets the weight of the upstream |
//! | `POST /drain` | `{"deadline": 10, "lame_duck": 0, "spread": 0}` or less | [shuts the server down](reagent::ServerHandle::shutdown) in stages |
//!
//! Names and addresses in paths are percent-encoded: `/listeners/%5B%3A%3A1%5D%3A80/pause`.
//!
//! ## Cost
//!
//! The interface adds next to no work to a connection of the server. The server has one more timer,
//! which fires once a second, for idle times and rates. A request for connections or counters visits every open
//! connection: it keeps only those that it lists, and lets other tasks run after every few hundred.
//!
//! ## Security
//!
//! This interface can stop the server, so it must be reserved for its operators.
//!
//! - **Clients.** Without a [token](Admin::token), only clients of this machine are served:
//!   [`check_addr`](Admin::check_addr) checks the address of the listener, and clients of an
//!   `HttpLayer` that are not local are answered with 403. Every user of the machine is local, and
//!   so is a reverse proxy. A Unix socket in a directory of your own keeps other users out.
//! - **Token.** The token is compared in constant time. It travels in the clear unless TLS or a
//!   tunnel protects it. The page asks for it and keeps it until its tab is closed. The files of
//!   the page, `/ready` and `/live` need no token; they tell nothing but the status of the server.
//! - **Other sites in the same browser.** A request must name `localhost`, an IP address or a
//!   configured [`host`](Admin::host), so that no other site can give its own name to this address
//!   (DNS rebinding). A request of HTTP/1.0 without a host is refused too, except for `/ready` and
//!   `/live`, since load balancers send such probes. It must not have another site in `Origin`. A write needs the header
//!   `x-reagent-admin: 1`, which neither a form nor a script of another site can send.
//! - **Text of clients.** Labels may contain what clients sent, such as server names. The page
//!   shows them as text only, and its content security policy allows no script but its own file.
//! - **Size.** A body has 4 KiB at most, and 10 s to arrive.
//! - **Audit.** Every write, done or refused, is a [`tracing`] event of the target
//!   `reagent_layers::admin`, with the client, the path and the result. It has no token.
//!
//! # Errors
//!
//! The service never fails. What is wrong with a request is answered with a status and
//! `{"error": "…"}`:
//!
//! | status | reason |
//! |---|---|
//! | 400 | an invalid query or body |
//! | 401 | a missing or wrong token |
//! | 403 | a client that is not local, another origin, or a write without its header |
//! | 404 | an unknown path, connection, limit, upstream or ban |
//! | 405 | a method that the path does not have |
//! | 408, 413 | a body that is too slow or too long |
//! | 409 | a request to pause or close the listener that it came in by |
//! | 421 | an unknown host |
//! | 422 | a limit that the program refuses to set |
//! | 503 | no server is [attached](Admin::attach) yet, or writes are [refused](Admin::refuse_writes) |

mod audit;
mod bans;
mod body;
mod certificates;
mod connections;
mod error;
mod future;
mod guard;
mod limits;
mod listeners;
mod page;
mod path;
mod problem;
mod query;
mod rank;
mod respond;
mod response;
mod server;
mod service;
mod top;
mod upstreams;
mod writes;

use problem::Problem;

pub use certificates::Certificate;
pub use error::InsecureAddr;
pub use future::AdminFuture;
pub use listeners::ListenerInfo;
pub use service::Admin;
pub use upstreams::{UpstreamChange, UpstreamInfo};

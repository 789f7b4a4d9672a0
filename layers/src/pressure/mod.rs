//! Acts when resources become short: closes idle connections, tells load balancers, and leaves
//! clients in the queue. Adapts limits to how long things take.
//!
//! # When to use it
//!
//! Use it where clients keep connections open without using them, and where the number of clients
//! is not yours to decide. A fixed limit has to be low enough for the worst case: with pressure, it
//! may be as high as the machine allows, and idle clients make room for new ones.
//!
//! | to | use |
//! |---|---|
//! | close idle connections and hold clients back when descriptors or memory are short | [`Pressure`] |
//! | let `max_connections` follow what the service can do | [`Adaptive`] around a [`Limit`](reagent::Limit) |
//! | limit requests by their latency | [tower-acc], unmodified, around an HTTP or framed service |
//!
//! # Position in the stack
//!
//! [`Pressure::attach`] needs no layer. To leave clients in the queue or to refuse them, add
//! [`Pressure::layer`] as the outermost layer, so that a refused client costs least.
//! [`Adaptive::layer`] goes around the service of requests, inside of `http` or `framed`.
//!
//! # Example
//!
//! Idle clients make room. The resource is a number that the program sets; a real server uses
//! [`standard_sources`](Builder::standard_sources).
//!
//! ```
//! use reagent::{Connection, Server, testing::MemoryListener};
//! use reagent_layers::pressure::{Pressure, source_fn};
//! use std::{sync::atomic::{AtomicU8, Ordering::Relaxed}, time::Duration};
//! use tokio::{io::AsyncReadExt, time::sleep};
//!
//! static USED_PERCENT: AtomicU8 = AtomicU8::new(0);
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let pressure = Pressure::builder()
//!     .source(source_fn("example", || f64::from(USED_PERCENT.load(Relaxed)) / 100.0))
//!     .build();
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener)
//!     .layer(pressure.layer())
//!     .start(reagent::handle(async |conn: Connection| {
//!         // Protocol layers such as `HttpLayer` say so by themselves.
//!         conn.handle().set_busy(false);
//!         conn.draining().await;
//!         std::io::Result::Ok(())
//!     }))
//!     .await?;
//! pressure.attach(&server);
//!
//! let mut client = clients.connect().await?;
//! sleep(Duration::from_secs(60)).await;
//! assert_eq!(server.connection_count(), 1);
//!
//! USED_PERCENT.store(90, Relaxed);
//! assert_eq!(client.read(&mut [0]).await?, 0, "closed in order");
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! ## Sources
//!
//! The pressure is a number from 0 to 1: the worst of its sources, which are sampled four times a
//! second. An action is taken only because of sources that it relieves.
//!
//! | source | is at 1 when | standard | closing helps | a pause helps |
//! |---|---|---|---|---|
//! | [`Descriptors`] | as many descriptors are open as `RLIMIT_NOFILE` allows (man 2 getrlimit) | yes | yes | yes |
//! | [`CgroupMemory`] | `memory.current` without inactive page cache reaches `memory.max` ([cgroup v2]) | yes | yes | yes |
//! | [`ResidentMemory`] | `VmRSS` reaches a number of bytes (man 5 proc_pid_status) | without a cgroup | yes | yes |
//! | [`Stall::memory`] | all tasks stall on memory for half of 2 s ([PSI]) | yes | yes | yes |
//! | [`Stall::cpu`], [`Stall::io`] | tasks stall for all of 2 s | no | no | yes |
//! | [`SchedulerLag`] | tasks run 100 ms late | yes | no | yes |
//! | [`PermitWait`] | clients wait for a place under `max_connections` for 1 s | yes | yes | no |
//! | [`AcceptQueue`] | the accept queue has a number of clients (man 5 proc_net) | no | no | no |
//! | [`ListenOverflows`] | the kernel has dropped a client in the last 2 s (man 5 proc_net) | no | no | no |
//! | [`source_fn`] | you say so | – | yes | yes |
//!
//! All but `SchedulerLag`, `PermitWait` and `source_fn` need Linux. A source that cannot be read,
//! because the system lacks the file, has no value in the [readings](PressureStats::readings) and
//! counts as 0. Sources read files of the kernel that are in memory, which takes about 0.1 ms in
//! all.
//!
//! ## Actions
//!
//! | action | default | where it is set |
//! |---|---|---|
//! | limit the idle time of connections, from 75 s down to 2 s | from 0.75 to 0.95 | [`Actions::idle_limit`] |
//! | close the connections that have been idle for longest | above 0.85 | [`Actions::close_idlest`] |
//! | report that the server is not ready | from 0.95 | [`Actions::unready`] |
//! | leave clients in the kernel's queue | from 0.98 | [`PressureLayer::pause`] |
//! | refuse clients by a [`Refusal`](crate::Refusal) | never | [`PressureLayer::refuse`] |
//! | let clients wait for whom there are no descriptors | 16 descriptors are kept | [`Actions::keep_descriptors`] |
//!
//! The shape is that of the [overload manager of Envoy][envoy]: the idle limit shrinks linearly,
//! and costly actions come late. Idle connections come first, since they cost their clients least:
//! 75 s is a usual limit for them anyway (nginx), and 2 s is the shortest of Envoy's example. The
//! steps in between are wide enough for one action to show before the next begins. A load balancer
//! hears of it before clients have to wait. When many servers of a fleet become unready at once,
//! the rest gets their clients: set [`unready`](Actions::unready) to `None` where that is worse
//! than slow service.
//!
//! Idle connections are closed in proportion to the pressure, at most a sixteenth of the open ones
//! for each sample. The other actions have a hysteresis of 0.05. In tests with a simulated
//! resource, the use settles within 5 s of a step, and the number of connections then swings by
//! less than 8 %, which is what clients that come at random make of it.
//!
//! ## Which connections are idle
//!
//! A connection is never closed in a request or with bytes in flight:
//!
//! | the handler | is idle |
//! |---|---|
//! | `http` | between two requests, or before the first; never after an upgrade, such as a WebSocket |
//! | `framed` | between two frames, with every answer written |
//! | `relay` | if it holds no bytes, and neither side has sent one for [`silent_for`](Actions::silent_for) (60 s) |
//! | any other | if it [says so](reagent::ConnectionHandle::set_busy), or if no byte has moved for `silent_for` |
//!
//! In all cases, no byte has moved for at least 2 s, no write waits for the client, and nothing has
//! arrived that was not read. Bytes are those of the socket: an idle connection of TLS or HTTP/2
//! that exchanges pings is not idle. A handler that works for longer than `silent_for` without a
//! byte should say that it is busy.
//!
//! An idle connection is asked to finish, as in a drain: HTTP/2 sends GOAWAY, a handler sees
//! [`draining`](reagent::Connection::draining). One that is still open and idle after
//! [`patience`](Actions::patience) (5 s) is aborted.
//!
//! ## Memory that does not come back
//!
//! Allocators give memory back late. Under memory pressure, all idle connections may be closed
//! before the sources show it, in 4 s or more. Leave a distance between the memory of a calm server
//! and 0.75 of its limit.
//!
//! ## Adaptive limits
//!
//! An [`Adaptive`] limit moves by samples, once a second: [`Aimd`] keeps them below a target,
//! [`Gradient`] near what is usual. Neither leaves its range or grows unused. If it moves the
//! limit of a server that keeps descriptors free, the limit may be too high by one step of the
//! algorithm until the next sample of the pressure.
//!
//! ## Cost
//!
//! While the server is calm, pressure costs a connection nothing: no lock, no allocation, no
//! observer. The layer, if there is one, costs it two loads. The server has two timers, which fire four times and once a
//! second. Under pressure, each sample visits all open connections, and lets other tasks run after
//! every few hundred.
//!
//! The task ends when the server drains or stops, and undoes what it did: readiness, the pause and
//! the limit are as before.
//!
//! # Errors
//!
//! A refused client ends with [`Rejected`](reagent::Rejected) and the reason [`PRESSURE`]. An idle
//! connection that was closed ends as in a drain, or with
//! [`Aborted`](reagent::Outcome::Aborted) if it did not answer.
//!
//! [tower-acc]: https://docs.rs/tower-acc
//! [cgroup v2]: https://docs.kernel.org/admin-guide/cgroup-v2.html
//! [PSI]: https://docs.kernel.org/accounting/psi.html
//! [envoy]: https://www.envoyproxy.io/docs/envoy/latest/configuration/operations/overload_manager/overload_manager

mod actions;
mod adaptive;
mod builder;
mod ceiling;
mod idle;
mod layer;
mod level;
#[expect(
    clippy::module_inception,
    reason = "the folder is named after its main type"
)]
mod pressure;
mod sampler;
mod service;
mod source;
mod sources;

pub use crate::refusal::LimitFuture;
pub use actions::Actions;
pub use adaptive::{
    Adaptive, Aimd, Algorithm, Gradient, SampleFuture, SampleLayer, SampleService, UpgradeSamples,
    Window,
};
pub use builder::Builder;
pub use layer::{PRESSURE, PressureLayer};
pub use level::Reading;
pub use pressure::{Pressure, PressureStats};
pub use service::PressureService;
pub use source::{Moment, Source, SourceFn, source_fn};
pub use sources::{
    AcceptQueue, CgroupMemory, Descriptors, ListenOverflows, PermitWait, ResidentMemory,
    SchedulerLag, Stall,
};

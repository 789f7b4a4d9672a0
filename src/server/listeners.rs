//! Adding, removing and pausing the listeners of a running server.

use super::ServerHandle;
use crate::{
    addr::Addr,
    error::Error,
    listener::{self, IntoBinds},
    pool::{Group, Pool, Request},
};
use std::sync::Arc;
use tokio::sync::oneshot;

/// # Listeners
///
/// Listeners can be added, paused and closed while the server runs. A listener is named by its
/// address, as [`local_addrs`](Self::local_addrs) and [`stats`](Self::stats) return it. If several
/// listeners have the same address, because their sockets were opened elsewhere, a method applies
/// to all of them.
///
/// ```
/// use reagent::{Bind, Connection, Server, handle};
/// use std::time::Duration;
/// # use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::TcpStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// # let greet = async |mut conn: Connection| conn.write_all(b"hello").await;
/// let server = Server::bind("127.0.0.1:0").start(handle(greet)).await?;
///
/// let added = server.listen(Bind::new("[::1]:0").label("v6")).await?;
/// let mut greeting = String::new();
/// TcpStream::connect(added[0].to_string()).await?.read_to_string(&mut greeting).await?;
/// assert_eq!(greeting, "hello");
///
/// assert!(server.close_listener(&added[0]).await);
/// assert!(TcpStream::connect(added[0].to_string()).await.is_err());
/// # Ok(())
/// # }
/// ```
impl ServerHandle {
    /// Begins to listen on more addresses, in any form that [`Server::bind`](crate::Server::bind)
    /// accepts, and returns the addresses of the new listeners.
    ///
    /// It returns once every acceptor of the new listeners has its service: either all of them are
    /// served or none.
    ///
    /// # Errors
    ///
    /// - [`Error::NoListener`] if `binds` is empty.
    /// - [`Error::Address`] if an address is invalid, the server listens on it already, or the
    ///   [limit](crate::Bind::limit) of a listener is not within that of the server.
    /// - [`Error::Bind`] if the system refuses to listen on an address or to set a socket option.
    /// - [`Error::Make`] if an acceptor cannot get its service.
    /// - [`Error::Stopped`] if the server drains or has stopped.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped, the new listeners are closed again.
    pub async fn listen(&self, binds: impl IntoBinds) -> Result<Vec<Addr>, Error> {
        let binds = binds.into_binds();
        listener::check_limits(&binds, &self.pool.registry.limit)?;
        let known: Vec<_> = self.local_addrs().collect();
        let bound = listener::open(
            binds,
            &self.pool.options,
            &known,
            &mut listener::Nothing::default(),
        )
        .await?;
        let groups = self.pool.make_groups(bound);
        if groups.is_empty() {
            return Err(Error::NoListener);
        }
        let addrs = groups.iter().map(|group| group.addr().clone()).collect();
        let mut unlisten = Unlisten {
            pool: &self.pool,
            groups: groups.clone(),
        };
        let (done, answer) = oneshot::channel();
        let _ = self.pool.requests.send(Request::Listen { groups, done });
        answer.await.unwrap_or(Err(Error::Stopped))?;
        unlisten.groups.clear();
        Ok(addrs)
    }

    /// Closes a listener, and returns false if the server has none at this address.
    ///
    /// New clients are refused, those that are already in the queue are served as far as the
    /// limits allow, and then the socket is closed and the file of a Unix socket removed. Open
    /// connections are not affected. A server that has closed its last listener goes on until it is
    /// drained.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped, the listener is closed all the same.
    pub async fn close_listener(&self, addr: &Addr) -> bool {
        let groups = self.pool.groups_at(addr);
        if groups.is_empty() {
            return false;
        }
        let (done, closed) = oneshot::channel();
        let _ = self.pool.requests.send(Request::Close { groups, done });
        // Dropped by the supervisor.
        let _ = closed.await;
        true
    }

    /// Stops accepting the clients of one listener, and returns false if the server has none at
    /// this address.
    ///
    /// Clients wait in the queue, as after [`pause`](Self::pause), of which this is independent.
    pub fn pause_listener(&self, addr: &Addr) -> bool {
        self.change_listener(addr, |group| group.pause(true))
    }

    /// Resumes accepting after [`pause_listener`](Self::pause_listener), and returns false if the
    /// server has no listener at this address.
    pub fn resume_listener(&self, addr: &Addr) -> bool {
        self.change_listener(addr, |group| group.pause(false))
    }

    /// Sets the maximum number of open connections of one listener, and returns false if the server
    /// has none at this address. `None` removes the limit.
    ///
    /// See [`Bind::max_connections`](crate::Bind::max_connections), and
    /// [`set_max_connections`](Self::set_max_connections) for the limit of the server.
    pub fn set_listener_max_connections(&self, addr: &Addr, max: impl Into<Option<usize>>) -> bool {
        let max = max.into();
        self.change_listener(addr, |group| group.entry().places.own().set_max(max))
    }

    fn change_listener(&self, addr: &Addr, change: impl Fn(&Group)) -> bool {
        let groups = self.pool.groups_at(addr);
        // So that `settled` waits for the acceptors.
        self.pool
            .change(|_| groups.iter().for_each(|group| change(group)));
        !groups.is_empty()
    }
}

/// Closes new listeners if nobody waits for them any more.
struct Unlisten<'a> {
    pool: &'a Pool,
    groups: Vec<Arc<Group>>,
}

impl Drop for Unlisten<'_> {
    fn drop(&mut self) {
        if !self.groups.is_empty() {
            let groups = std::mem::take(&mut self.groups);
            let (done, _) = oneshot::channel();
            let _ = self.pool.requests.send(Request::Close { groups, done });
        }
    }
}

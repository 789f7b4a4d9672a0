//! Listening sockets that one process hands over to the next.
//!
//! Both processes hold the same queue. Until the hand-over is decided, the successor is a guest: it
//! changes no option of the socket, and leaves the file of a Unix socket alone. With
//! [`take_over`](SocketListener::take_over) it becomes the owner, and with
//! [`give_up`](SocketListener::give_up) the predecessor ceases to be one.

use super::{
    SocketListener, SocketOptions,
    inspect::check,
    unix_path::{OwnPath, SocketFile, when_unlocked},
};
use crate::addr::Addr;
use socket2::{Domain, SockRef, Socket, Type};
use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The facts about a listening socket that its descriptor does not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SocketFacts {
    pub(crate) addr: Addr,
    /// Every connection has this local address.
    pub(crate) is_fixed: bool,
    /// Neither process has opened it.
    pub(crate) is_adopted: bool,
    /// The file that its owner removes.
    pub(crate) file: Option<SocketFile>,
}

impl SocketFacts {
    /// Checks that these are facts about `socket`, and that it is a listening stream socket.
    pub(crate) fn verify(&self, socket: &OwnedFd) -> io::Result<()> {
        let addr = check(&SockRef::from(socket))?;
        match addr == self.addr {
            true => Ok(()),
            false => {
                let reason = format!("it is bound to {addr}");
                Err(io::Error::new(io::ErrorKind::InvalidData, reason))
            }
        }
    }
}

impl SocketListener {
    /// Binds a path that only this user may connect to.
    pub(crate) async fn private(path: &Path) -> io::Result<Self> {
        let mut options = SocketOptions::default();
        options.unix_mode = Some(0o600);
        let options = Arc::new(options);
        when_unlocked(|| Self::bind_unix(path, &options)).await
    }

    /// Returns what a successor has to know.
    pub(crate) fn facts(&self) -> SocketFacts {
        let own_path = self.own_path.as_ref();
        SocketFacts {
            addr: self.addr.clone(),
            is_fixed: self.is_fixed,
            is_adopted: self.is_adopted,
            file: own_path.map(|own| own.file().clone()),
        }
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }

    /// Returns another descriptor of the socket.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.as_fd().try_clone_to_owned()
    }

    /// Creates a listener from a socket of the predecessor, which still owns it.
    ///
    /// # Errors
    ///
    /// Fails if the facts are wrong, or if the system refuses an option. The options are tried on
    /// another socket.
    pub(crate) fn inherit(
        socket: OwnedFd,
        facts: SocketFacts,
        options: &Arc<SocketOptions>,
    ) -> io::Result<Self> {
        facts.verify(&socket)?;
        try_options(&facts.addr, options)?;
        let socket = Socket::from(socket);
        let mut options = options.clone();
        // Whether there can be more sockets at an address is decided when the first one is bound.
        let is_tcp = matches!(facts.addr, Addr::Tcp(_));
        let reuse_port = is_tcp && socket.reuse_port()?;
        if reuse_port != options.reuse_port {
            Arc::make_mut(&mut options).reuse_port = reuse_port;
        }
        let is_shared = Arc::new(AtomicBool::new(true));
        let own_path = match (facts.file, facts.addr.path()) {
            (Some(file), Some(bound)) => Some(Arc::new(OwnPath::inherit(file, bound, &is_shared)?)),
            _ => None,
        };
        let listener = Self::new(socket, facts.addr, &options)?;
        Ok(SocketListener {
            own_path,
            is_fixed: facts.is_fixed,
            is_adopted: facts.is_adopted,
            is_shared,
            ..listener
        })
    }

    /// Makes this process the owner of an inherited socket: its options apply, and it removes the
    /// file of a Unix socket.
    ///
    /// The hand-over is decided by now, so an option that the system refuses keeps the value that
    /// the predecessor gave it.
    pub(crate) fn take_over(&self) {
        let socket = self.queue.socket();
        let _ = apply(&socket, &self.addr, &self.options);
        if self.is_adopted {
            return;
        }
        let _ = socket.listen(i32::try_from(self.options.backlog).unwrap_or(i32::MAX));
        if let Some(own_path) = &self.own_path {
            own_path.grant(&self.options);
        }
        self.is_shared.store(false, Ordering::Release);
    }

    /// Returns whether another process owns the socket.
    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Acquire)
    }

    /// Remains the owner, after the successor to whom the socket was offered has failed.
    pub(crate) fn keep(&self) {
        self.is_shared.store(false, Ordering::Release);
    }

    /// Leaves the socket, and the file of a Unix socket, to the successor.
    pub(crate) fn give_up(&self) {
        self.is_shared.store(true, Ordering::Release);
    }
}

/// Sets the options on a socket that serves nobody, so that an error changes nothing.
fn try_options(addr: &Addr, options: &SocketOptions) -> io::Result<()> {
    let domain = match addr {
        Addr::Tcp(addr) => Domain::for_address(*addr),
        _ => Domain::UNIX,
    };
    apply(&Socket::new(domain, Type::STREAM, None)?, addr, options)
}

fn apply(socket: &Socket, addr: &Addr, options: &SocketOptions) -> io::Result<()> {
    match addr {
        Addr::Tcp(addr) => options.apply_listening_tcp(socket, addr.is_ipv6()),
        _ => options.apply_buffers(socket),
    }
}

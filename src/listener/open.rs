//! Opening listening sockets from their addresses.

use super::{
    Bind, Listener, SocketListener, SocketOptions,
    address::{Plan, What},
    settings::Settings,
};
use crate::{
    addr::Addr,
    error::{Error, Explained},
};
use std::{io, mem, net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::Instant;

/// How often another port is tried if the one that was chosen is in use at another address of the
/// same name.
const PORTS: usize = 16;

/// The listeners of one [`Bind`]. A name may yield several.
pub(crate) struct Bound {
    pub(crate) settings: Settings,
    pub(crate) listeners: Vec<Opened>,
}

/// The queues of one address: several with `SO_REUSEPORT` if they were taken over.
pub(crate) struct Opened {
    /// The address as it was asked for, by which a successor finds it.
    pub(crate) requested: String,
    pub(crate) queues: Vec<Box<dyn Listener>>,
}

/// Finds the queues of an address that a predecessor has handed over.
pub(crate) trait Inheritance: Send {
    /// Returns the queues of the listener that was asked for by the same text, or else of the one
    /// that has this address. Each is returned once.
    fn take(
        &mut self,
        requested: &str,
        options: &Arc<SocketOptions>,
    ) -> io::Result<Option<Vec<SocketListener>>>;

    /// Returns how long to wait before an address that is in use is tried again, or `None` to give
    /// up.
    fn retry_in(&self) -> Option<Duration> {
        None
    }
}

/// For a server that takes nothing over.
#[derive(Default)]
pub(crate) struct Nothing {
    /// Until when an address in use is tried again.
    pub(crate) retry_until: Option<Instant>,
}

/// The delay between attempts at an address in use.
const RETRY: Duration = Duration::from_millis(20);

impl Inheritance for Nothing {
    fn take(&mut self, _: &str, _: &Arc<SocketOptions>) -> io::Result<Option<Vec<SocketListener>>> {
        Ok(None)
    }

    fn retry_in(&self) -> Option<Duration> {
        let until = self.retry_until?;
        (Instant::now() < until).then_some(RETRY)
    }
}

/// Opens all of `binds`, in order, or none of them, for a server that listens on `known` already.
/// What is inherited is used instead of opened.
///
/// Cancel safe: everything opened so far is closed.
pub(crate) async fn open(
    binds: Vec<Bind>,
    options: &Arc<SocketOptions>,
    known: &[Addr],
    inheritance: &mut dyn Inheritance,
) -> Result<Vec<Bound>, Error> {
    let mut plans: Vec<Plan> = Vec::with_capacity(binds.len());
    for bind in binds {
        let plan = Plan::new(bind).await?;
        if plans.iter().any(|earlier| earlier.is_same(&plan)) {
            let reason = "this server listens on the same address twice; remove one of the two";
            return Err(Error::address(&plan.text, reason));
        }
        if known.iter().any(|addr| plan.is_at(addr)) {
            let reason = "this server listens on the address already";
            return Err(Error::address(&plan.text, reason));
        }
        plans.push(plan);
    }
    let mut opening = Opening {
        options: options.clone(),
        v4_ports: v4_ports(&plans, known),
        tcp: known.iter().filter_map(Addr::socket_addr).collect(),
        listeners: Vec::new(),
        inheritance,
    };
    let mut bound = Vec::with_capacity(plans.len());
    for plan in plans {
        let Plan {
            text,
            what,
            mut settings,
        } = plan;
        opening.options = settings.options(options);
        let opened = match what {
            What::Tcp(addrs) => loop {
                match opening.tcp(&addrs) {
                    Err(error) if opening.has_waited(&error).await => {}
                    opened => break opened,
                }
            },
            What::Unix(path) => loop {
                match opening.unix(&path).await {
                    Err(error) if opening.has_waited(&error).await => {}
                    opened => break opened,
                }
            },
            What::Systemd(name) => opening.systemd(&name),
            What::Socket(socket) => SocketListener::adopt(socket, &opening.options)
                .map(|listener| opening.opened(text.clone(), vec![listener])),
            What::Listener(listener) => {
                opening.listeners.push(Opened {
                    requested: text.clone(),
                    queues: vec![listener],
                });
                Ok(())
            }
        };
        opened.map_err(|error| Error::bind(&text, error))?;
        bound.push(Bound {
            settings,
            listeners: mem::take(&mut opening.listeners),
        });
    }
    Ok(bound)
}

impl Plan {
    fn is_same(&self, other: &Plan) -> bool {
        match (&self.what, &other.what) {
            (What::Tcp(a), What::Tcp(b)) => a.iter().any(|a| a.port() != 0 && b.contains(a)),
            (What::Unix(a), What::Unix(b)) => a == b,
            (What::Systemd(a), What::Systemd(b)) => a == b,
            _ => false,
        }
    }

    fn is_at(&self, addr: &Addr) -> bool {
        match (&self.what, addr) {
            (What::Tcp(addrs), Addr::Tcp(addr)) => addrs.contains(addr),
            (What::Unix(path), Addr::Unix(Some(known))) => **path == **known,
            _ => false,
        }
    }
}

type Tcp = (SocketAddr, Vec<SocketListener>, SocketAddr);

/// Returns the ports that are listened on at an IPv4 address.
fn v4_ports(plans: &[Plan], known: &[Addr]) -> Vec<u16> {
    let planned = plans.iter().flat_map(|plan| match &plan.what {
        What::Tcp(addrs) => addrs.as_slice(),
        _ => &[],
    });
    let addrs = planned
        .copied()
        .chain(known.iter().filter_map(Addr::socket_addr));
    let v4 = addrs.filter(|addr| addr.is_ipv4() && addr.port() != 0);
    v4.map(|addr| addr.port()).collect()
}

struct Opening<'a> {
    inheritance: &'a mut dyn Inheritance,
    options: Arc<SocketOptions>,
    v4_ports: Vec<u16>,
    /// The addresses bound so far.
    tcp: Vec<SocketAddr>,
    listeners: Vec<Opened>,
}

impl Opening<'_> {
    /// Waits if the address is in use by a server that is about to end.
    async fn has_waited(&mut self, error: &io::Error) -> bool {
        match self.inheritance.retry_in() {
            Some(delay) if error.kind() == io::ErrorKind::AddrInUse => {
                tokio::time::sleep(delay).await;
                true
            }
            _ => false,
        }
    }
    fn opened(&mut self, requested: String, queues: Vec<SocketListener>) {
        let queues = queues.into_iter().map(|queue| Box::new(queue) as _);
        self.listeners.push(Opened {
            requested,
            queues: queues.collect(),
        });
    }

    fn tcp(&mut self, addrs: &[SocketAddr]) -> io::Result<()> {
        let is_chosen = addrs.len() > 1 && addrs.iter().all(|addr| addr.port() == 0);
        let mut tries = if is_chosen { PORTS } else { 1 };
        let bound = loop {
            tries -= 1;
            match self.tcp_at_one_port(addrs) {
                Err(error) if tries > 0 && error.kind() == io::ErrorKind::AddrInUse => {}
                bound => break bound?,
            }
        };
        for (requested, queues, addr) in bound {
            self.tcp.push(addr);
            self.opened(requested.to_string(), queues);
        }
        Ok(())
    }

    /// Returns the queues of each address, with the address as it was asked for and as it is.
    fn tcp_at_one_port(&mut self, addrs: &[SocketAddr]) -> io::Result<Vec<Tcp>> {
        let mut bound: Vec<Tcp> = Vec::with_capacity(addrs.len());
        let mut missing = None;
        for requested in addrs {
            let mut addr = *requested;
            let options = &self.options_for(addr, addrs.len() > 1);
            let text = requested.to_string();
            if let Some(queues) = self.inheritance.take(&text, options)? {
                let local = queues
                    .first()
                    .and_then(|queue| queue.local_addr().socket_addr());
                bound.push((*requested, queues, local.unwrap_or(addr)));
                continue;
            }
            if let (0, Some((.., first))) = (addr.port(), bound.first()) {
                addr.set_port(first.port());
            }
            match SocketListener::bind_tcp(addr, options) {
                Ok((listener, addr)) => bound.push((*requested, vec![listener], addr)),
                // On a machine without IPv6, names may still resolve to IPv6 addresses.
                Err(error) if addrs.len() > 1 && is_missing(&error) => {
                    missing = Some((addr, error));
                }
                Err(error) => return Err(self.explain(addr, error)),
            }
        }
        match missing {
            Some((addr, error)) if bound.is_empty() => Err(self.explain(addr, error)),
            _ => Ok(bound),
        }
    }

    /// An IPv6 wildcard also accepts IPv4 clients, unless the options say otherwise. It must not do
    /// so beside an IPv4 address with the same port.
    fn options_for(&self, addr: SocketAddr, has_siblings: bool) -> Arc<SocketOptions> {
        let is_beside_v4 =
            has_siblings || self.options.only_v6.is_none() && self.v4_ports.contains(&addr.port());
        if !(is_beside_v4 && addr.is_ipv6() && addr.ip().is_unspecified()) {
            return self.options.clone();
        }
        let mut options = (*self.options).clone();
        options.only_v6 = Some(true);
        Arc::new(options)
    }

    fn explain(&self, addr: SocketAddr, error: io::Error) -> io::Error {
        if error.raw_os_error().is_none() {
            return error;
        }
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => match self.tcp.iter().find(|own| overlap(**own, addr)) {
                Some(own) => format!(
                    "{addr} overlaps {own}, where this server listens too; remove one of the two"
                ),
                None => "another server listens there; stop it or choose another address".into(),
            },
            io::ErrorKind::PermissionDenied => {
                "a port below 1024 needs CAP_NET_BIND_SERVICE; choose another or grant it".into()
            }
            io::ErrorKind::AddrNotAvailable => {
                format!("no interface of this machine has the address {}", addr.ip())
            }
            _ => return error,
        };
        Explained::error(advice, error)
    }

    #[cfg(unix)]
    async fn unix(&mut self, path: &std::path::Path) -> io::Result<()> {
        let requested = Addr::Unix(Some(path.into())).to_string();
        let options = self.options.clone();
        let queues = match self.inheritance.take(&requested, &options)? {
            Some(queues) => queues,
            None => {
                let bind = || SocketListener::bind_unix(path, &options);
                vec![super::unix_path::when_unlocked(bind).await?]
            }
        };
        self.opened(requested, queues);
        Ok(())
    }

    #[cfg(not(unix))]
    async fn unix(&mut self, _: &std::path::Path) -> io::Result<()> {
        let reason = "this system has no Unix sockets";
        Err(Explained::refusal(io::ErrorKind::Unsupported, reason))
    }

    #[cfg(target_os = "linux")]
    fn systemd(&mut self, name: &str) -> io::Result<()> {
        let requested = format!("systemd:{name}");
        let options = self.options.clone();
        while let Some(queues) = self.inheritance.take(&requested, &options)? {
            self.opened(requested.clone(), queues);
        }
        if !self.listeners.is_empty() {
            return Ok(());
        }
        for socket in super::systemd::inherited(name)? {
            let listener = SocketListener::adopt(socket, &options)?;
            self.opened(requested.clone(), vec![listener]);
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn systemd(&mut self, _: &str) -> io::Result<()> {
        let reason = "systemd hands over sockets on Linux only";
        Err(Explained::refusal(io::ErrorKind::Unsupported, reason))
    }
}

/// Returns whether the address family or the address does not exist on this machine.
fn is_missing(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EAFNOSUPPORT) {
        return true;
    }
    error.kind() == io::ErrorKind::AddrNotAvailable
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let is_wild = |addr: SocketAddr| addr.ip().is_unspecified();
    a.port() == b.port() && (a.ip() == b.ip() || is_wild(a) || is_wild(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_addresses_of_a_name_are_bound_to_one_port() {
        let mut opening = Opening {
            inheritance: &mut Nothing::default(),
            options: Arc::default(),
            v4_ports: Vec::new(),
            tcp: Vec::new(),
            listeners: Vec::new(),
        };
        let addrs = ["127.0.0.1:0", "192.0.2.1:0", "[::1]:0"];
        opening
            .tcp(&addrs.map(|addr| addr.parse().unwrap()))
            .unwrap();
        let ports: Vec<_> = opening.tcp.iter().map(SocketAddr::port).collect();
        assert_eq!(
            opening.listeners.len(),
            2,
            "the one that no interface has is left out"
        );
        assert_eq!(ports[0], ports[1]);
    }
}

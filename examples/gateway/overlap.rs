//! What addresses stand for, and whether two of them can be open at the same time.

use crate::{
    config::Config,
    options::Listener,
    page_server::handover_path,
    values::{ListenAddr, Place, Target, WeightedTarget, same_path},
};
use reagent::{Addr, BoxError, ErrorChain};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

/// The longest path of a Unix socket in bytes (`unix(7)`).
const LONGEST_PATH: usize = 107;

/// An address, what it stands for, and the server that it belongs to.
struct Resolved {
    text: String,
    addrs: Vec<Addr>,
    is_page: bool,
}

/// Checks that all addresses of a configuration can be open at the same time.
pub async fn check(config: &Config) -> Result<(), BoxError> {
    let mut all: Vec<Resolved> = Vec::new();
    let listeners = config.addresses().into_iter().map(|addr| (addr, false));
    let pages = config.page_addresses().into_iter().map(|addr| (addr, true));
    for (address, is_page) in listeners.chain(pages) {
        let addr = &address.addr;
        all.push(Resolved {
            text: addr.to_string(),
            addrs: resolve(addr).await?,
            is_page,
        });
    }
    let handover = config.global.server.handover.as_ref();
    for path in handover
        .into_iter()
        .flat_map(|path| [path.clone(), handover_path(path)])
    {
        all.push(Resolved {
            text: path.display().to_string(),
            addrs: vec![unix(&path)?],
            is_page: false,
        });
    }
    for (index, one) in all.iter().enumerate() {
        if let Some(other) = all[..index].iter().find(|other| one.overlaps(other)) {
            let (other, one) = (&other.text, &one.text);
            return Err(format!(
                "the addresses {other} and {one} overlap, so only one of them can be opened; \
                 remove one, or change its port or path"
            )
            .into());
        }
    }
    Ok(())
}

/// Checks that no listener is its own upstream.
pub async fn check_upstreams(listener: &Listener) -> Result<(), BoxError> {
    let mut own = Vec::new();
    for address in &listener.listen {
        own.extend(resolve(address).await?);
    }
    let routes = listener.route.iter().flat_map(|route| &route.to);
    for WeightedTarget { target: to, .. } in listener.to.iter().chain(routes) {
        let targets = match to {
            Target::Tcp(addr) => vec![Addr::Tcp(*addr)],
            Target::Name(name) => lookup(name).await?.into_iter().map(Addr::Tcp).collect(),
            Target::Unix(path) => vec![Addr::Unix(Some(same_path(path).into()))],
        };
        let leads_to = |target: &Addr| own.iter().any(|own| reaches(target, own));
        if targets.iter().any(leads_to) {
            let label = &listener.label;
            return Err(format!(
                "listener \"{label}\" relays to {to}, which is its own address; change `to` or \
                 `listen`"
            )
            .into());
        }
    }
    Ok(())
}

/// Returns whether a connection to `target` arrives at the socket at `own`.
fn reaches(target: &Addr, own: &Addr) -> bool {
    match (target, own) {
        (Addr::Tcp(target), Addr::Tcp(own)) => {
            let (to, at) = (target.ip().to_canonical(), own.ip().to_canonical());
            let is_everywhere = at.is_unspecified() && at.is_ipv4() == to.is_ipv4();
            target.port() == own.port() && (to == at || is_everywhere && to.is_loopback())
        }
        _ => target == own,
    }
}

impl Resolved {
    fn overlaps(&self, other: &Resolved) -> bool {
        // A server that listens on both restricts the address of IPv6 to IPv6.
        let is_dual = self.is_page != other.is_page;
        let mut pairs = self
            .addrs
            .iter()
            .flat_map(|one| other.addrs.iter().map(move |other| (one, other)));
        pairs.any(|pair| match pair {
            (Addr::Tcp(one), Addr::Tcp(other)) => {
                one.port() == other.port()
                    && one.port() != 0
                    && (includes(one.ip(), other.ip(), is_dual)
                        || includes(other.ip(), one.ip(), is_dual))
            }
            (one, other) => one == other,
        })
    }
}

/// Returns whether a socket at `one` also has the clients of `other`.
fn includes(one: IpAddr, other: IpAddr, is_dual: bool) -> bool {
    // `::ffff:127.0.0.1` is an address of IPv4.
    let (one, other) = (one.to_canonical(), other.to_canonical());
    one == other
        || one.is_unspecified() && (one.is_ipv4() == other.is_ipv4())
        || one.is_unspecified() && one.is_ipv6() && is_dual
}

/// Returns what an address stands for, as far as that can be known without listening.
pub async fn resolve(address: &ListenAddr) -> Result<Vec<Addr>, BoxError> {
    match &address.place {
        Place::Unix(path) => Ok(vec![unix(path)?]),
        Place::Systemd(_) => Ok(vec![Addr::Other(address.as_str().into())]),
        Place::Tcp(None, port) => {
            let all: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
            Ok(all.map(|ip| SocketAddr::new(ip, *port).into()).into())
        }
        Place::Tcp(Some(host), port) => {
            let found = lookup(&format!("{host}:{port}")).await?;
            Ok(found.into_iter().map(Addr::Tcp).collect())
        }
    }
}

/// Returns the address of a Unix socket, whose folder must exist.
fn unix(path: &Path) -> Result<Addr, BoxError> {
    let shown = path.display();
    if path.as_os_str().len() > LONGEST_PATH {
        let problem =
            format!("the path {shown} is too long: expected at most {LONGEST_PATH} bytes");
        return Err(problem.into());
    }
    if path.is_dir() {
        return Err(format!("{shown} is a folder; expected the path of a socket").into());
    }
    let is_abstract = path.as_os_str().as_encoded_bytes().starts_with(b"@");
    match is_abstract || path.parent().is_some_and(Path::is_dir) {
        true => Ok(Addr::Unix(Some(same_path(path).into()))),
        false => Err(format!("the folder of {shown} does not exist").into()),
    }
}

/// Resolves `HOST:PORT`.
pub async fn lookup(address: &str) -> Result<Vec<SocketAddr>, BoxError> {
    let found = tokio::net::lookup_host(address).await;
    let found: Vec<_> = found
        .map_err(|error| format!("cannot resolve {address:?}: {}", ErrorChain(&error)))?
        .collect();
    match found.is_empty() {
        true => Err(format!("{address} does not resolve to any address").into()),
        false => Ok(found),
    }
}

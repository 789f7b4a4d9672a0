//! Reading addresses and resolving names.

use super::{Bind, Listener, bind::Target, settings::Settings};
use crate::error::{Error, Explained};
use socket2::Socket;
use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

/// An address or socket to listen on, and its text.
pub(super) struct Plan {
    pub(super) text: String,
    pub(super) what: What,
    pub(super) settings: Settings,
}

pub(super) enum What {
    /// All addresses of one name. They get the same port.
    Tcp(Vec<SocketAddr>),
    Unix(PathBuf),
    Systemd(String),
    Socket(Socket),
    Listener(Box<dyn Listener>),
}

impl Plan {
    pub(super) async fn new(bind: Bind) -> Result<Self, Error> {
        let text = bind.to_string();
        let what = match bind.target {
            Target::Text(written) => read(&written).await?,
            Target::Host(host, _) if host.is_empty() => {
                return Err(Error::address(
                    &text,
                    "the host is empty; write \"*\" for all interfaces",
                ));
            }
            Target::Host(host, port) => resolve(&text, &host, port).await?,
            Target::Tcp(addr) => What::Tcp(vec![addr]),
            Target::Unix(path) => What::Unix(path),
            Target::Socket(Ok(socket)) => What::Socket(socket),
            Target::Socket(Err(error)) => {
                let error = Explained::error("cannot detach the socket from its runtime", error);
                return Err(Error::bind(&text, error));
            }
            Target::Listener(listener) => What::Listener(listener),
            Target::Unbindable(_) => {
                return Err(Error::address(
                    &text,
                    "the address cannot be bound; expected a TCP address or a Unix path",
                ));
            }
        };
        Ok(Plan {
            text,
            what,
            settings: bind.settings,
        })
    }
}

async fn read(text: &str) -> Result<What, Error> {
    match text.split_once(':') {
        Some(("unix", "")) => Err(Error::address(text, "a path is missing after unix:")),
        Some(("unix", path)) => Ok(What::Unix(path.into())),
        Some(("systemd", name)) => Ok(What::Systemd(name.to_owned())),
        Some(("tcp", rest)) if rest.starts_with("//") => host_port(text, &rest[2..]).await,
        Some((_, rest)) if rest.starts_with("//") => Err(Error::address(
            text,
            "unknown scheme; expected tcp://, unix: or systemd:",
        )),
        Some(_) => host_port(text, text).await,
        None => Err(Error::address(
            text,
            "a port is missing; expected host:port, unix:/path or systemd:NAME",
        )),
    }
}

async fn host_port(text: &str, written: &str) -> Result<What, Error> {
    let form = || Error::address(text, "expected host:port with a port from 0 to 65535");
    let (host, port) = written.rsplit_once(':').ok_or_else(form)?;
    if host.contains(':') && !host.starts_with('[') {
        let reason = "an IPv6 address must be in brackets, as in [::1]:8080";
        return Err(Error::address(text, reason));
    }
    if host.starts_with('[') != host.ends_with(']') {
        return Err(form());
    }
    // `parse` accepts a plus sign.
    let is_number = port.bytes().all(|digit| digit.is_ascii_digit());
    let port = port.parse().ok().filter(|_| is_number).ok_or_else(form)?;
    resolve(text, host, port).await
}

async fn resolve(text: &str, host: &str, port: u16) -> Result<What, Error> {
    if let "" | "*" = host {
        let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        return Ok(What::Tcp(vec![v4, v6]));
    }
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let found = tokio::net::lookup_host((bare.unwrap_or(host), port)).await;
    let found = found
        .map_err(|error| Error::bind(text, Explained::error("cannot resolve the name", error)))?;
    let mut addrs = Vec::new();
    for addr in found {
        if !addrs.contains(&addr) {
            addrs.push(addr);
        }
    }
    match addrs.is_empty() {
        true => Err(Error::address(
            text,
            "the name did not resolve to any address",
        )),
        false => Ok(What::Tcp(addrs)),
    }
}

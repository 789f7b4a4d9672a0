//! From what is written to a socket that listens.

use super::{Bind, Listener, SocketListener, SocketOptions, bind::Target};
use crate::Error;
use std::{io, net::SocketAddr, sync::Arc};

impl Bind {
    /// Makes a listener of it.
    pub(crate) async fn open(
        self,
        options: &Arc<SocketOptions>,
    ) -> Result<Box<dyn Listener>, Error> {
        match self.0 {
            Target::Listener(listener) => Ok(listener),
            Target::Tcp(addr) => tcp(&addr.to_string(), &[addr], options),
            Target::Text(text) => open_text(&text, options).await,
        }
    }
}

async fn open_text(text: &str, options: &Arc<SocketOptions>) -> Result<Box<dyn Listener>, Error> {
    let bad = |reason: &str| Error::address(text, reason);
    match text.split_once(':') {
        Some(("unix", path)) => unix(text, path, options),
        Some(("systemd", name)) => systemd(text, name, options),
        Some(("tcp", rest)) if rest.starts_with("//") => resolve(text, &rest[2..], options).await,
        Some((_, rest)) if rest.starts_with("//") => Err(bad(
            "this scheme is not known; tcp://, unix: and systemd: are",
        )),
        Some(_) => resolve(text, text, options).await,
        None => Err(bad(
            "a port is missing; write host:port, unix:/path or systemd:NAME",
        )),
    }
}

/// As the standard library does, tries what a name stands for in turn until one can be bound.
async fn resolve(
    text: &str,
    host_port: &str,
    options: &Arc<SocketOptions>,
) -> Result<Box<dyn Listener>, Error> {
    let host = host_port.rsplit_once(':').map_or("", |(host, _)| host);
    if host.contains(':') && !host.starts_with('[') {
        let reason = "an IPv6 address stands in brackets, as in [::1]:8080";
        return Err(Error::address(text, reason));
    }
    let addrs: Vec<_> = match tokio::net::lookup_host(host_port).await {
        Ok(addrs) => addrs.collect(),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            return Err(Error::address(text, "this is not of the form host:port"));
        }
        Err(error) => return Err(Error::bind(text, error)),
    };
    tcp(text, &addrs, options)
}

fn tcp(
    text: &str,
    addrs: &[SocketAddr],
    options: &Arc<SocketOptions>,
) -> Result<Box<dyn Listener>, Error> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name stands for no address");
    for addr in addrs {
        match SocketListener::bind_tcp(*addr, options) {
            Ok(listener) => return Ok(Box::new(listener)),
            Err(error) => last = error,
        }
    }
    Err(Error::bind(text, last))
}

#[cfg(unix)]
fn unix(text: &str, path: &str, options: &Arc<SocketOptions>) -> Result<Box<dyn Listener>, Error> {
    if path.is_empty() {
        return Err(Error::address(text, "a path is missing after unix:"));
    }
    match SocketListener::bind_unix(path.as_ref(), options) {
        Ok(listener) => Ok(Box::new(listener)),
        Err(error) => Err(Error::bind(text, error)),
    }
}

#[cfg(not(unix))]
fn unix(text: &str, _: &str, _: &Arc<SocketOptions>) -> Result<Box<dyn Listener>, Error> {
    Err(Error::address(text, "this system has no Unix sockets"))
}

#[cfg(target_os = "linux")]
fn systemd(
    text: &str,
    name: &str,
    options: &Arc<SocketOptions>,
) -> Result<Box<dyn Listener>, Error> {
    let adopted = super::systemd::inherited(name).and_then(|socket| {
        if socket.domain()? != socket2::Domain::UNIX {
            options.apply_connection(&socket)?;
        }
        SocketListener::adopt(socket, options)
    });
    match adopted {
        Ok(listener) => Ok(Box::new(listener)),
        Err(error) => Err(Error::bind(text, error)),
    }
}

#[cfg(not(target_os = "linux"))]
fn systemd(text: &str, _: &str, _: &Arc<SocketOptions>) -> Result<Box<dyn Listener>, Error> {
    Err(Error::address(
        text,
        "systemd hands over sockets on Linux only",
    ))
}

//! The list of what a predecessor hands over.
//!
//! It arrives with as many descriptors as it mentions, in its order. Whatever it claims is checked
//! before a descriptor is used.

use super::fields::{Fields, invalid, once, put, sized, text};
use crate::{
    addr::Addr,
    listener::{SocketFacts, SocketFile},
};
use std::{
    ffi::OsStr,
    io,
    net::{IpAddr, SocketAddr, SocketAddrV6},
    os::unix::ffi::OsStrExt,
    path::Path,
};

/// The limits of a manifest.
pub(super) const MOST_BYTES: usize = 1024 * 1024;
pub(super) const MOST_SOCKETS: usize = 4096;
const MOST_LISTENERS: usize = 1024;
const MOST_TEXT: usize = 4096;

/// The fields of a manifest.
const HANDOVER: u16 = 1;
const LISTENER: u16 = 2;

/// The fields of a listener.
const REQUESTED: u16 = 1;
const TCP: u16 = 2;
const UNIX: u16 = 3;
const FLAGS: u16 = 4;
const FILE: u16 = 5;
const SOCKETS: u16 = 6;

const IS_FIXED: u8 = 1;
const IS_ADOPTED: u8 = 2;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    /// The socket on which successors connect. It is the first one.
    pub(super) handover: SocketFacts,
    pub(super) listeners: Vec<Entry>,
}

/// A listener of the predecessor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The address that was asked for, with port 0 if any port would do.
    pub(crate) requested: String,
    pub(crate) facts: SocketFacts,
    /// The number of its sockets.
    pub(crate) sockets: u16,
}

impl Manifest {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut handover = Vec::new();
        put_facts(&mut handover, &self.handover);
        put(&mut out, HANDOVER, &handover);
        for entry in &self.listeners {
            let mut listener = Vec::new();
            put(&mut listener, REQUESTED, entry.requested.as_bytes());
            put_facts(&mut listener, &entry.facts);
            put(&mut listener, SOCKETS, &entry.sockets.to_be_bytes());
            put(&mut out, LISTENER, &listener);
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> io::Result<Self> {
        let mut handover = None;
        let mut listeners = Vec::new();
        for field in Fields(bytes) {
            match field? {
                (HANDOVER, value) => once(&mut handover, Fact::all(value)?.facts()?)?,
                (LISTENER, _) if listeners.len() == MOST_LISTENERS => {
                    let reason = format!("there are more than {MOST_LISTENERS} listeners");
                    return Err(invalid(reason));
                }
                (LISTENER, value) => listeners.push(Fact::all(value)?.entry()?),
                _ => {}
            }
        }
        let manifest = Manifest {
            handover: handover.ok_or_else(|| missing("hand-over"))?,
            listeners,
        };
        match manifest.sockets() > MOST_SOCKETS {
            true => Err(invalid(format!(
                "there are {} sockets; expected at most {MOST_SOCKETS}",
                manifest.sockets()
            ))),
            false => Ok(manifest),
        }
    }

    /// Returns the number of descriptors that belong to the manifest.
    pub(super) fn sockets(&self) -> usize {
        let sockets = self
            .listeners
            .iter()
            .map(|entry| usize::from(entry.sockets));
        1 + sockets.sum::<usize>()
    }
}

fn put_facts(out: &mut Vec<u8>, facts: &SocketFacts) {
    match &facts.addr {
        Addr::Tcp(SocketAddr::V4(addr)) => {
            let port = addr.port().to_be_bytes();
            put(out, TCP, &[&addr.ip().octets()[..], &port].concat());
        }
        Addr::Tcp(SocketAddr::V6(addr)) => {
            let port = addr.port().to_be_bytes();
            let flow = addr.flowinfo().to_be_bytes();
            let scope = addr.scope_id().to_be_bytes();
            let value = [&addr.ip().octets()[..], &port, &flow, &scope].concat();
            put(out, TCP, &value);
        }
        Addr::Unix(Some(path)) => put(out, UNIX, path.as_os_str().as_bytes()),
        // A socket has no address of another kind.
        Addr::Unix(None) | Addr::Other(_) => put(out, UNIX, &[]),
    }
    let fixed = if facts.is_fixed { IS_FIXED } else { 0 };
    let adopted = if facts.is_adopted { IS_ADOPTED } else { 0 };
    put(out, FLAGS, &[fixed | adopted]);
    if let Some(SocketFile { path, inode }) = &facts.file {
        let (device, inode) = (inode.0.to_be_bytes(), inode.1.to_be_bytes());
        let path = path.as_os_str().as_bytes();
        put(out, FILE, &[&device[..], &inode, path].concat());
    }
}

/// The fields of a listener, as far as they are there.
#[derive(Default)]
struct Fact {
    requested: Option<String>,
    addr: Option<Addr>,
    flags: Option<u8>,
    file: Option<SocketFile>,
    sockets: Option<u16>,
}

impl Fact {
    fn all(bytes: &[u8]) -> io::Result<Self> {
        let mut all = Fact::default();
        for field in Fields(bytes) {
            match field? {
                (REQUESTED, value) => once(&mut all.requested, text(value, MOST_TEXT)?)?,
                (TCP, value) => once(&mut all.addr, Addr::Tcp(tcp(value)?))?,
                (UNIX, []) => once(&mut all.addr, Addr::Unix(None))?,
                (UNIX, value) => once(&mut all.addr, Addr::Unix(Some(path(value)?.into())))?,
                (FLAGS, value) => once(&mut all.flags, sized::<1>(value)?[0])?,
                (FILE, value) => once(&mut all.file, file(value)?)?,
                (SOCKETS, value) => once(&mut all.sockets, u16::from_be_bytes(sized(value)?))?,
                _ => {}
            }
        }
        Ok(all)
    }

    fn facts(self) -> io::Result<SocketFacts> {
        let addr = self.addr.ok_or_else(|| missing("address"))?;
        if self.file.is_some() && addr.path().is_none() {
            return Err(invalid(format!("a file belongs to {addr}, which has none")));
        }
        let flags = self.flags.ok_or_else(|| missing("flags"))?;
        Ok(SocketFacts {
            addr,
            is_fixed: flags & IS_FIXED != 0,
            is_adopted: flags & IS_ADOPTED != 0,
            file: self.file,
        })
    }

    fn entry(mut self) -> io::Result<Entry> {
        let sockets = self.sockets.filter(|sockets| *sockets > 0);
        Ok(Entry {
            requested: self
                .requested
                .take()
                .ok_or_else(|| missing("requested address"))?,
            sockets: sockets.ok_or_else(|| missing("sockets"))?,
            facts: self.facts()?,
        })
    }
}

fn tcp(value: &[u8]) -> io::Result<SocketAddr> {
    if let Ok([a, b, c, d, p0, p1]) = sized::<6>(value) {
        return Ok((IpAddr::from([a, b, c, d]), u16::from_be_bytes([p0, p1])).into());
    }
    let value = sized::<26>(value)?;
    let (ip, rest) = value
        .split_first_chunk::<16>()
        .ok_or_else(|| missing("address"))?;
    let (port, rest) = rest.split_first_chunk().ok_or_else(|| missing("port"))?;
    let (flow, rest) = rest.split_first_chunk().ok_or_else(|| missing("flow"))?;
    let addr = SocketAddrV6::new(
        (*ip).into(),
        u16::from_be_bytes(*port),
        u32::from_be_bytes(*flow),
        u32::from_be_bytes(sized(rest)?),
    );
    Ok(addr.into())
}

fn file(value: &[u8]) -> io::Result<SocketFile> {
    let cut = || invalid("the file of a socket is cut off");
    let (device, rest) = value.split_first_chunk().ok_or_else(cut)?;
    let (inode, rest) = rest.split_first_chunk().ok_or_else(cut)?;
    Ok(SocketFile {
        path: path(rest)?.to_owned(),
        inode: (u64::from_be_bytes(*device), u64::from_be_bytes(*inode)),
    })
}

fn path(value: &[u8]) -> io::Result<&Path> {
    match value.len() > MOST_TEXT {
        true => Err(invalid(format!("a path has more than {MOST_TEXT} bytes"))),
        false => Ok(Path::new(OsStr::from_bytes(value))),
    }
}

fn missing(what: &str) -> io::Error {
    invalid(format!("the {what} field is missing"))
}

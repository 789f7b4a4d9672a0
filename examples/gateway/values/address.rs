//! Addresses.

use reagent_layers::connect;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
};

type Problem = &'static str;

const NO_PORT: Problem =
    "a port is missing; expected HOST:PORT or the absolute path of a Unix socket";
const BRACKETS: Problem = "an IPv6 address must be in brackets, as in [::1]:8080";
const PORT: Problem = "expected a port from 0 to 65535 after the last colon, in digits";
const RELATIVE: Problem = "expected an absolute path, as in unix:/run/app.sock";
const NO_NAME: Problem = "expected systemd:NAME, with the `FileDescriptorName=` of the socket";
const SCHEME: Problem = "unknown scheme; expected HOST:PORT, unix:/PATH or systemd:NAME";

/// An address to listen on, and its text.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ListenAddr {
    text: String,
    pub place: Place,
}

/// The place that an address names.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// A host, or all interfaces, and a port.
    Tcp(Option<String>, u16),
    /// A path, or a name that begins with `@`.
    Unix(PathBuf),
    Systemd(String),
}

impl ListenAddr {
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for ListenAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = Place::read(text);
        Ok(ListenAddr {
            text: text.to_owned(),
            place: place.map_err(|problem| invalid(text, problem))?,
        })
    }
}

fn invalid(text: &str, problem: Problem) -> String {
    format!("invalid address {text:?}: {problem}")
}

impl Place {
    fn read(text: &str) -> Result<Self, Problem> {
        if text.starts_with('/') {
            return Ok(Place::Unix(text.into()));
        }
        match text.split_once(':') {
            Some(("unix", path)) if path.starts_with(['/', '@']) => Ok(Place::Unix(path.into())),
            Some(("unix", _)) => Err(RELATIVE),
            Some(("systemd", "")) => Err(NO_NAME),
            Some(("systemd", name)) => Ok(Place::Systemd(name.to_owned())),
            Some(("tcp", rest)) if rest.starts_with("//") => tcp(&rest[2..]),
            Some((_, rest)) if rest.starts_with("//") => Err(SCHEME),
            _ => tcp(text),
        }
    }
}

fn tcp(text: &str) -> Result<Place, Problem> {
    let (host, port) = host_port(text)?;
    let host = Some(host).filter(|host| !matches!(*host, "" | "*"));
    Ok(Place::Tcp(host.map(str::to_owned), port))
}

/// Splits `HOST:PORT`. The host may be empty.
fn host_port(text: &str) -> Result<(&str, u16), Problem> {
    let (host, port) = text.rsplit_once(':').ok_or(NO_PORT)?;
    let bare = host.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
    match bare {
        // A scope may follow the address.
        Some(ip)
            if ip
                .split('%')
                .next()
                .unwrap_or(ip)
                .parse::<Ipv6Addr>()
                .is_err() =>
        {
            return Err(BRACKETS);
        }
        None if host.contains([':', '[', ']']) => return Err(BRACKETS),
        _ => {}
    }
    let is_number = !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
    let port = port.parse().ok().filter(|_| is_number).ok_or(PORT)?;
    Ok((host, port))
}

/// The address of an upstream.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    Tcp(SocketAddr),
    /// Resolved again while the gateway runs, so that the upstream may move.
    Name(String),
    Unix(PathBuf),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let target = text.parse::<connect::Target>();
        Ok(match target.map_err(|error| error.to_string())? {
            connect::Target::Addr(addr) => Target::Tcp(addr),
            connect::Target::Unix(path) => Target::Unix(path.to_path_buf()),
            _ => Target::Name(text.to_owned()),
        })
    }
}

impl Target {
    /// Returns the address in the form of the connector.
    pub fn to_connect(&self) -> connect::Target {
        match self {
            Target::Tcp(addr) => connect::Target::Addr(*addr),
            Target::Name(name) => name.parse().expect("parsed before"),
            Target::Unix(path) => connect::Target::unix(path),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tcp(addr) => addr.fmt(f),
            Target::Name(name) => name.fmt(f),
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// Implements the conversions from and to the text in a file.
macro_rules! text {
    ($($address:ty),+) => {$(
        impl TryFrom<String> for $address {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$address> for String {
            fn from(address: $address) -> Self {
                address.to_string()
            }
        }
    )+};
}

text!(ListenAddr, Target);

/// Returns the path with its folder as the system knows it, by which two spellings are compared.
pub fn same_path(path: &Path) -> PathBuf {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

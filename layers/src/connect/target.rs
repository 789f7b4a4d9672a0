//! Where to connect to.

use crate::net::host_name;
use std::{
    error::Error,
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::Path,
    str::FromStr,
    sync::Arc,
};

const FORM: &str = "expected HOST:PORT or the path of a Unix socket";
const BRACKETS: &str = "an IPv6 address must be in brackets, as in [::1]:8080";
const PORT: &str = "expected a port from 1 to 65535 after the last colon, in digits";
const NAME: &str = "expected a host name or an IP address before the port; \
                    a name consists of ASCII letters, digits, hyphens, underscores and dots";
const RELATIVE: &str = "expected an absolute path, as in unix:/run/app.sock";
const SCHEME: &str = "expected HOST:PORT or the path of a Unix socket, without a scheme";

/// The address of an upstream: a name, an IP address or a Unix socket. It is cheap to clone.
///
/// It is parsed from `HOST:PORT`, with IPv6 addresses in brackets, or from the absolute path of a
/// Unix socket, with or without `unix:`. Its `Display` output can be parsed again.
///
/// # Example
///
/// ```
/// use reagent_layers::connect::Target;
///
/// let target: Target = "db.example.org:5432".parse()?;
/// assert_eq!(target, Target::host("db.example.org", 5432)?);
/// assert!(matches!("[2001:db8::1]:5432".parse()?, Target::Addr(_)));
/// assert_eq!("/run/app.sock".parse::<Target>()?.to_string(), "unix:/run/app.sock");
///
/// let error = "2001:db8::1:5432".parse::<Target>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "invalid address \"2001:db8::1:5432\": an IPv6 address must be in brackets, as in [::1]:8080"
/// );
/// # Ok::<(), reagent_layers::connect::InvalidTarget>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// An IP address and a port.
    Addr(SocketAddr),
    /// A name that is resolved for every connection.
    #[non_exhaustive]
    Name {
        /// The name. An IPv6 address whose scope is the name of an interface, as in
        /// `fe80::1%eth0`, is a name too, since only the system knows the interface.
        host: Arc<str>,
        /// The port.
        port: u16,
    },
    /// The path of a Unix socket. A path that starts with `@` is a name in Linux's abstract
    /// namespace (`unix(7)`).
    Unix(Arc<Path>),
}

impl Target {
    /// Creates the address of a host, which is a name or an IP address without brackets.
    ///
    /// # Errors
    ///
    /// Returns an error if `host` is neither.
    pub fn host(host: &str, port: u16) -> Result<Self, InvalidTarget> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(Target::Addr(SocketAddr::new(ip, port)));
        }
        Self::named(host, port).map_err(|problem| InvalidTarget::new(host, problem))
    }

    /// Creates the address of a Unix socket.
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Target::Unix(path.as_ref().into())
    }

    fn named(host: &str, port: u16) -> Result<Self, &'static str> {
        match host_name::normal(host).is_some() || is_scoped(host) {
            true => Ok(Target::Name {
                host: host.into(),
                port,
            }),
            false => Err(NAME),
        }
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with(['/', '@']) => return Ok(Target::unix(path)),
            Some(_) => return Err(RELATIVE),
            None if text.starts_with('/') => return Ok(Target::unix(text)),
            None if text.contains("://") => return Err(SCHEME),
            None => {}
        }
        // The standard library knows brackets, and scopes that are numbers.
        let addr = text.parse::<SocketAddr>();
        if let Some(addr) = addr.ok().filter(|addr| addr.port() > 0) {
            return Ok(Target::Addr(addr));
        }
        let (host, port) = text.rsplit_once(':').ok_or(FORM)?;
        let bare = host.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
        let is_ip = |ip: &str| is_scoped(ip) || ip.parse::<Ipv6Addr>().is_ok();
        let host = match bare {
            Some(ip) if is_ip(ip) => ip,
            None if host.is_empty() => return Err(FORM),
            None if !host.contains([':', '[', ']']) => host,
            _ => return Err(BRACKETS),
        };
        let is_number = !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
        match port.parse().ok().filter(|port| is_number && *port > 0) {
            Some(port) => Self::named(host, port),
            None => Err(PORT),
        }
    }
}

/// Returns whether the text is an IPv6 address with a scope (RFC 4007, section 11).
pub(super) fn is_scoped(text: &str) -> bool {
    text.split_once('%').is_some_and(|(ip, scope)| {
        let is_interface = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        ip.parse::<Ipv6Addr>().is_ok() && !scope.is_empty() && scope.bytes().all(is_interface)
    })
}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        Self::read(text).map_err(|problem| InvalidTarget::new(text, problem))
    }
}

impl From<SocketAddr> for Target {
    fn from(addr: SocketAddr) -> Self {
        Target::Addr(addr)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Addr(addr) => addr.fmt(f),
            Target::Name { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Target::Name { host, port } => write!(f, "{host}:{port}"),
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The error of a text that is not the address of an upstream.
#[derive(Clone, PartialEq, Eq)]
pub struct InvalidTarget {
    text: Box<str>,
    problem: &'static str,
}

impl InvalidTarget {
    fn new(text: &str, problem: &'static str) -> Self {
        let text = text.into();
        InvalidTarget { text, problem }
    }
}

impl fmt::Display for InvalidTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid address {:?}: {}", self.text, self.problem)
    }
}

/// Prints the message, since that is what the user of a program sees when `main` returns the error.
impl fmt::Debug for InvalidTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for InvalidTarget {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_displayed_is_parsed_again() {
        for (text, displayed) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("[fe80::1%2]:80", "[fe80::1%2]:80"),
            ("[fe80::1%eth0.5]:80", "[fe80::1%eth0.5]:80"),
            ("example.org.:65535", "example.org.:65535"),
            ("my_service:1", "my_service:1"),
            ("/run/app.sock", "unix:/run/app.sock"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
            ("unix:@app", "unix:@app"),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), displayed);
            assert_eq!(displayed.parse(), Ok(target));
        }
    }

    #[test]
    fn an_invalid_address_is_explained() {
        let long = format!("{}:80", "a.".repeat(200));
        for (text, problem) in [
            ("", FORM),
            ("example.org", FORM),
            ("::1", BRACKETS),
            ("::1:80", BRACKETS),
            ("[::1:80", BRACKETS),
            ("[example.org]:80", BRACKETS),
            ("[127.0.0.1]:80", BRACKETS),
            ("[fe80::1%]:80", BRACKETS),
            ("example.org:", PORT),
            ("example.org:0", PORT),
            ("127.0.0.1:0", PORT),
            ("example.org:65536", PORT),
            ("example.org:+80", PORT),
            ("example.org:http", PORT),
            (":80", FORM),
            ("a..b:80", NAME),
            ("exa mple:80", NAME),
            ("bücher.example:80", NAME),
            (&long, NAME),
            ("unix:run/app.sock", RELATIVE),
            ("https://example.org:443", SCHEME),
        ] {
            let error = text.parse::<Target>().unwrap_err();
            assert_eq!(error.problem, problem, "{text}");
            assert!(error.to_string().contains(text));
        }
    }

    #[test]
    fn a_host_that_is_an_address_is_not_a_name() {
        let addr = |text: &str| Target::Addr(text.parse().unwrap());
        assert_eq!(Target::host("192.0.2.1", 80), Ok(addr("192.0.2.1:80")));
        assert_eq!(Target::host("::1", 80), Ok(addr("[::1]:80")));
        for host in ["", "a\0b", "a/b", "[::1]"] {
            assert!(Target::host(host, 80).is_err(), "{host}");
        }
    }
}

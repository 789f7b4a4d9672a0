//! Patterns of the names of clients.

use super::{PeerName, TlsInfo};
use crate::net::host_name::normal;
use std::{error::Error, fmt, net::IpAddr, str::FromStr};

/// A pattern that the name of a client matches, to [admit](super::TlsLayer::admit) clients by the
/// names in a list.
///
/// | text | matches a client whose certificate |
/// |---|---|
/// | `dns:db.example.org` | was issued for this host name; `dns:*.example.org` matches any with exactly one more label |
/// | `uri:spiffe://example.org/billing` | has this SPIFFE ID or was issued for this URI; `uri:spiffe://example.org/billing/*` matches all that begin as before the `*` and are longer |
/// | `email:alice@example.org` | was issued for this address |
/// | `ip:192.0.2.1` | was issued for this address |
/// | `cn:alice` | has this common name, and no other one |
///
/// All but the last compare the [names](TlsInfo::peer_names) for which the certificate was issued. A
/// SPIFFE ID matches only if it is the [only](TlsInfo::spiffe_id) URI. Host names are compared
/// without regard to case, and everything else byte by byte.
///
/// A common name has no type: the same text may be the name of a host for one authority and that of
/// a person for another. Use it if your authority issues certificates for nothing else.
///
/// # Example
///
/// ```
/// # use reagent_layers::tls::{PeerPattern, TlsInfo, TlsLayer};
/// # fn example(layer: TlsLayer) -> Result<(), Box<dyn std::error::Error>> {
/// let names = ["dns:*.web.example.org", "uri:spiffe://example.org/billing/*"];
/// let names = names.map(str::parse).into_iter().collect::<Result<Vec<PeerPattern>, _>>()?;
/// let layer = layer.admit(move |tls: &TlsInfo| names.iter().any(|name| name.matches(tls)));
/// # Ok(())
/// # }
/// assert_eq!("cn:alice".parse::<PeerPattern>().unwrap().to_string(), "cn:alice");
/// assert!("alice".parse::<PeerPattern>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerPattern(Pattern);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Pattern {
    Dns(Box<str>),
    /// Without the `*.`.
    DnsBelow(Box<str>),
    Uri(Box<str>),
    /// Without the `*`.
    UriBelow(Box<str>),
    Email(Box<str>),
    Ip(IpAddr),
    CommonName(Box<str>),
}

/// The error of a text that is not a [`PeerPattern`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPeerPattern(Box<str>);

impl PeerPattern {
    /// Returns whether a client has a name that matches.
    pub fn matches(&self, client: &TlsInfo) -> bool {
        let any = |is_it: &dyn Fn(&PeerName) -> bool| client.peer_names().iter().any(is_it);
        match &self.0 {
            Pattern::Dns(host) => any(&|name| dns(name).is_some_and(|name| name == *host)),
            Pattern::DnsBelow(host) => any(&|name| {
                let name = dns(name);
                let above = name.as_ref().and_then(|name| name.split_once('.'));
                above.is_some_and(|(_, above)| *above == **host)
            }),
            Pattern::Uri(uri) => has_uri(client, uri, |name| name == &**uri),
            Pattern::UriBelow(begin) => has_uri(client, begin, |name| {
                name.strip_prefix(&**begin)
                    .is_some_and(|rest| !rest.is_empty())
            }),
            Pattern::Email(email) => {
                any(&|name| matches!(name, PeerName::Email(name) if **name == **email))
            }
            Pattern::Ip(ip) => any(&|name| matches!(name, PeerName::Ip(name) if name == ip)),
            Pattern::CommonName(cn) => client.peer_common_name() == Some(cn),
        }
    }
}

fn dns(name: &PeerName) -> Option<Box<str>> {
    match name {
        PeerName::Dns(name) => normal(name),
        _ => None,
    }
}

/// Returns whether a URI of the client satisfies `is_it`, which it can only if it begins with the
/// scheme of `pattern`.
fn has_uri(client: &TlsInfo, pattern: &str, is_it: impl Fn(&str) -> bool) -> bool {
    if pattern.starts_with("spiffe://") {
        return client.spiffe_id().is_some_and(is_it);
    }
    let mut names = client.peer_names().iter();
    names.any(|name| matches!(name, PeerName::Uri(uri) if is_it(uri)))
}

impl FromStr for PeerPattern {
    type Err = InvalidPeerPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPeerPattern> {
        let pattern = || {
            let (kind, name) = text.split_once(':')?;
            let is_printable = !name.is_empty() && !name.contains(char::is_control);
            Some(match kind {
                "dns" => match name.strip_prefix("*.") {
                    Some(above) => Pattern::DnsBelow(normal(above)?),
                    None => Pattern::Dns(normal(name)?),
                },
                "ip" => Pattern::Ip(name.parse().ok()?),
                _ if !is_printable => return None,
                "uri" => {
                    let (begin, is_begin) = match name.strip_suffix("/*") {
                        Some(_) => (&name[..name.len() - 1], true),
                        None => (name, false),
                    };
                    // Otherwise it would look like a pattern and match only itself.
                    if begin.contains('*') || !begin.contains(':') {
                        return None;
                    }
                    match is_begin {
                        true => Pattern::UriBelow(begin.into()),
                        false => Pattern::Uri(begin.into()),
                    }
                }
                "email" if name.contains('@') && !name.contains('*') => Pattern::Email(name.into()),
                "cn" if !name.contains('*') => Pattern::CommonName(name.into()),
                _ => return None,
            })
        };
        let pattern = pattern().ok_or_else(|| InvalidPeerPattern(text.into()))?;
        Ok(PeerPattern(pattern))
    }
}

impl fmt::Display for PeerPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::Dns(name) => write!(f, "dns:{name}"),
            Pattern::DnsBelow(above) => write!(f, "dns:*.{above}"),
            Pattern::Uri(uri) => write!(f, "uri:{uri}"),
            Pattern::UriBelow(begin) => write!(f, "uri:{begin}*"),
            Pattern::Email(email) => write!(f, "email:{email}"),
            Pattern::Ip(ip) => write!(f, "ip:{ip}"),
            Pattern::CommonName(name) => write!(f, "cn:{name}"),
        }
    }
}

impl fmt::Display for InvalidPeerPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid name of clients {:?}: expected dns:HOST, dns:*.HOST, uri:URI, uri:URI/*, \
             email:ADDRESS, ip:ADDRESS or cn:NAME",
            self.0
        )
    }
}

impl Error for InvalidPeerPattern {}

//! The identity in a client's certificate.

use std::{
    borrow::Cow,
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use x509_parser::{
    der_parser::asn1_rs::Any,
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
    x509::{AttributeTypeAndValue, X509Name},
};

/// A name for which a certificate was issued: one of its subject alternative names (RFC 5280,
/// section 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerName {
    /// A host name.
    Dns(String),
    /// A URI, such as a SPIFFE ID.
    Uri(String),
    /// An email address.
    Email(String),
    /// An IP address.
    Ip(IpAddr),
}

/// The part of a client's own certificate that is used.
#[derive(Default)]
pub(super) struct Peer {
    pub(super) subject: Option<String>,
    pub(super) common_name: Option<String>,
    pub(super) names: Vec<PeerName>,
}

impl Peer {
    pub(super) fn new(certificate: &[u8]) -> Self {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
            return Peer::default();
        };
        let names = certificate.subject_alternative_name().ok().flatten();
        Peer {
            subject: Some(distinguished_name(certificate.subject())),
            common_name: common_name(certificate.subject()),
            names: names
                .iter()
                .flat_map(|names| &names.value.general_names)
                .filter_map(name)
                .collect(),
        }
    }
}

fn name(name: &GeneralName<'_>) -> Option<PeerName> {
    Some(match *name {
        GeneralName::DNSName(name) => PeerName::Dns(name.to_owned()),
        GeneralName::URI(uri) => PeerName::Uri(uri.to_owned()),
        GeneralName::RFC822Name(name) => PeerName::Email(name.to_owned()),
        GeneralName::IPAddress(ip) => PeerName::Ip(match <[u8; 4]>::try_from(ip) {
            Ok(v4) => Ipv4Addr::from(v4).into(),
            Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?).into(),
        }),
        _ => return None,
    })
}

/// Returns the common name, unless there are several.
fn common_name(name: &X509Name<'_>) -> Option<String> {
    let mut names = name.iter_common_name();
    let (only, more) = (names.next()?, names.next());
    let only = only.as_str().ok()?;
    more.is_none().then(|| only.to_owned())
}

/// Writes a name according to RFC 4514, so that different names are never written alike.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|rdn| rdn.iter().map(attribute).collect::<Vec<_>>().join("+"))
        .collect();
    // Section 2.1: the last part comes first.
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    // Section 3.
    let known = match &*oid {
        "2.5.4.3" => Some("CN"),
        "2.5.4.6" => Some("C"),
        "2.5.4.7" => Some("L"),
        "2.5.4.8" => Some("ST"),
        "2.5.4.9" => Some("STREET"),
        "2.5.4.10" => Some("O"),
        "2.5.4.11" => Some("OU"),
        "0.9.2342.19200300.100.1.1" => Some("UID"),
        "0.9.2342.19200300.100.1.25" => Some("DC"),
        _ => None,
    };
    match (known, attribute.as_str()) {
        (Some(known), Ok(text)) => format!("{known}={}", escaped(text)),
        // Section 2.4: the encoding, if the value is not text or its type has no name.
        (known, _) => format!("{}=#{}", known.unwrap_or(&oid), hex(attribute.attr_value())),
    }
}

/// RFC 4514, section 2.4.
fn escaped(text: &str) -> Cow<'_, str> {
    let is_special = |c: char| "\"+,;<>\\\0".contains(c);
    if !text.contains(is_special) && !text.starts_with([' ', '#']) && !text.ends_with(' ') {
        return text.into();
    }
    let last = text.chars().count() - 1;
    let mut escaped = String::new();
    for (index, c) in text.chars().enumerate() {
        match c {
            '\0' => escaped.push_str("\\00"),
            _ => {
                let at_end = (index == 0 && " #".contains(c)) || (index == last && c == ' ');
                if at_end || is_special(c) {
                    escaped.push('\\');
                }
                escaped.push(c);
            }
        }
    }
    escaped.into()
}

fn hex(value: &Any<'_>) -> String {
    // The tag, the length and the value, which is enough for texts to differ.
    let mut text = format!("{:02x}", value.header.tag().0);
    let len = value.data.len();
    let _ = match len {
        0..=0x7f => write!(text, "{len:02x}"),
        0x80..=0xff => write!(text, "81{len:02x}"),
        _ => write!(text, "82{len:04x}"),
    };
    for byte in value.data {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_separates_is_escaped() {
        for (text, expected) in [
            ("alice", "alice"),
            ("alice, O=Admins", "alice\\, O=Admins"),
            ("alice+O=Admins", "alice\\+O=Admins"),
            (" a ", "\\ a\\ "),
            (" ", "\\ "),
            ("#1", "\\#1"),
            ("a\\\"<>;", "a\\\\\\\"\\<\\>\\;"),
            ("a\0b", "a\\00b"),
            ("", ""),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }
}

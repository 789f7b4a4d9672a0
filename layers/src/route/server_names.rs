//! The names that TLS clients ask for.

use crate::{net::names::Names, sniff::Sniffed};
use reagent::Connection;
use std::{error::Error, fmt};

/// TLS clients that ask for one of these names (SNI, RFC 6066), as a [`SniffLayer`](crate::sniff::SniffLayer) found.
///
/// `*.example.org` stands for one label: for `a.example.org`, not for `example.org` or `a.b.example.org`. Routes are
/// asked in order, so one of an exact name belongs before one of a wildcard that has it too. Any number of names
/// costs the same.
pub fn server_name<Io: 'static>(
    names: impl IntoIterator<Item: AsRef<str>>,
) -> Result<impl Fn(&Connection<Io>) -> bool + Clone + Send + Sync + 'static, InvalidServerName> {
    let mut known = Names::default();
    for name in names {
        let name = name.as_ref();
        known.insert(name, ()).map_err(|_| InvalidServerName {
            name: name.to_owned(),
        })?;
    }
    Ok(move |conn: &Connection<Io>| {
        let sniffed = conn.extensions().get::<Sniffed>();
        let name = sniffed.and_then(Sniffed::server_name);
        name.is_some_and(|name| known.get(name).is_some())
    })
}

/// The error of a text that is no server name.
#[derive(Clone, PartialEq, Eq)]
pub struct InvalidServerName {
    name: String,
}

impl InvalidServerName {
    /// Returns the text as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for InvalidServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid server name {:?}: expected a host name such as example.org or *.example.org",
            self.name
        )
    }
}

/// Prints the message, since that is what the user of a program sees when `main` returns the error.
impl fmt::Debug for InvalidServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for InvalidServerName {}

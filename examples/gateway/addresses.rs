//! The addresses of a configuration.

use crate::{
    config::Config,
    page_clients::MAX_CONNECTIONS,
    values::{ListenAddr, Place},
};
use reagent::Bind;

/// The labels of the listeners of pages.
pub const METRICS: &str = "metrics";
pub const ADMIN: &str = "admin";

/// An address as it is written, which identifies its listening socket across reloads. Repeated
/// addresses with port 0 are numbered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    text: String,
    number: usize,
}

/// An address to listen on.
#[derive(Clone, Debug)]
pub struct Address {
    pub key: Key,
    pub label: String,
    pub addr: ListenAddr,
}

impl Address {
    /// Returns what the gateway does on this address, as it is printed.
    pub fn what(&self) -> &'static str {
        match &*self.label {
            METRICS => METRICS,
            ADMIN => ADMIN,
            _ => "listening",
        }
    }

    pub fn bind(&self) -> Bind {
        let bind = match &self.addr.place {
            Place::Unix(path) => Bind::new(&**path),
            Place::Tcp(..) | Place::Systemd(_) => Bind::new(self.addr.as_str()),
        };
        let bind = bind.label(&*self.label).state(self.key.clone());
        match &*self.label {
            // Clients of the admin page on a Unix socket need no token.
            ADMIN => of_page(bind).options(|options| options.unix_mode = Some(0o600)),
            METRICS => of_page(bind),
            _ => bind,
        }
    }
}

fn of_page(bind: Bind) -> Bind {
    bind.max_connections(MAX_CONNECTIONS)
}

impl Config {
    /// Returns the addresses of all listeners.
    pub fn addresses(&self) -> Vec<Address> {
        let listeners = self.listeners.iter();
        list(listeners.flat_map(|listener| {
            let addrs = listener.listen.iter();
            addrs.map(|addr| (&*listener.label, addr))
        }))
    }

    /// Returns the addresses of the pages.
    pub fn page_addresses(&self) -> Vec<Address> {
        let pages = &self.global.pages;
        let metrics = pages.metrics.as_ref().map(|addr| (METRICS, addr));
        let admin = pages.admin.as_ref().map(|addr| (ADMIN, addr));
        list(metrics.into_iter().chain(admin))
    }
}

fn list<'a>(labelled: impl Iterator<Item = (&'a str, &'a ListenAddr)>) -> Vec<Address> {
    let mut addresses: Vec<Address> = Vec::new();
    for (label, addr) in labelled {
        let text = addr.as_str();
        let same = addresses.iter().filter(|address| address.key.text == text);
        addresses.push(Address {
            key: Key {
                text: text.to_owned(),
                number: same.count(),
            },
            label: label.to_owned(),
            addr: addr.clone(),
        });
    }
    addresses
}

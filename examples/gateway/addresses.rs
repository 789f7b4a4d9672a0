//! The addresses of a configuration, and the stack behind each of them.

use crate::{config::Config, stack::BoxStack, values::unix_path};
use reagent::{Acceptor, Addr, Bind, BoxError};
use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The labels of the listeners of pages.
pub const METRICS: &str = "metrics";
pub const ADMIN: &str = "admin";

/// The number of connections that the listener of a page may have, besides `max-connections`.
const PAGE_CONNECTIONS: usize = 20;

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
    pub max_connections: Option<usize>,
    /// Places that only this address may use.
    pub reserved: usize,
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

    /// Returns the address if it is listed more than once, and not with a port of the system's
    /// choice.
    pub fn repeated(&self) -> Option<&str> {
        let Key { text, number } = &self.key;
        (*number > 0 && !text.ends_with(":0")).then_some(text)
    }

    pub fn bind(&self) -> Bind {
        let text = &self.key.text;
        let bind = match unix_path(text) {
            Some(path) => Bind::new(path),
            None => Bind::new(text),
        };
        let bind = bind
            .label(&*self.label)
            .state(self.key.clone())
            .reserve(self.reserved);
        let bind = match &*self.label {
            // Clients of the page on a Unix socket need no token.
            ADMIN => bind.options(|options| options.unix_mode = Some(0o600)),
            _ => bind,
        };
        match self.max_connections {
            Some(max) => bind.max_connections(max),
            None => bind,
        }
    }
}

impl Config {
    /// Returns all addresses to listen on.
    pub fn addresses(&self) -> Vec<Address> {
        let mut addresses: Vec<Address> = Vec::new();
        let mut add = |text: &String, label: &str, max_connections, reserved| {
            let same = addresses.iter().filter(|address| address.key.text == *text);
            addresses.push(Address {
                key: Key {
                    text: text.clone(),
                    number: same.count(),
                },
                label: label.to_owned(),
                max_connections,
                reserved,
            });
        };
        for listener in &self.listeners {
            let max = listener.max_connections.map(NonZeroUsize::get);
            for text in &listener.listen {
                add(text, &listener.label, max, 0);
            }
        }
        for (label, text) in self.pages() {
            add(text, label, Some(PAGE_CONNECTIONS), PAGE_CONNECTIONS);
        }
        addresses
    }

    /// Returns the pages that are served, by their labels.
    pub fn pages(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let metrics = self.global.metrics.as_ref().map(|text| (METRICS, text));
        let admin = self.global.admin.as_ref().map(|text| (ADMIN, text));
        metrics.into_iter().chain(admin)
    }

    /// Returns the number of connections that are reserved for pages.
    pub fn reserved(&self) -> usize {
        self.pages().count() * PAGE_CONNECTIONS
    }

    /// Returns the limit of the server, which includes the connections that are reserved.
    pub fn max_connections(&self) -> Option<usize> {
        let max = self.global.max_connections?;
        Some(max.get().saturating_add(self.reserved()))
    }
}

/// The stack behind each address. Clones share it.
#[derive(Clone, Default)]
pub struct Stacks(Arc<Mutex<HashMap<Key, Opened>>>);

struct Opened {
    stack: BoxStack,
    /// The addresses of the sockets, with the ports that the system has chosen.
    addrs: Vec<Addr>,
}

impl Stacks {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Opened>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the stack of an address. Acceptors that have one already keep it until they are remade.
    pub fn set(&self, key: &Key, stack: BoxStack) {
        let mut opened = self.lock();
        let addrs = opened.remove(key).map_or_else(Vec::new, |old| old.addrs);
        opened.insert(key.clone(), Opened { stack, addrs });
    }

    /// Removes an address, and returns those of its sockets.
    pub fn remove(&self, key: &Key) -> Vec<Addr> {
        self.lock()
            .remove(key)
            .map_or_else(Vec::new, |old| old.addrs)
    }

    /// Returns the addresses that are open.
    pub fn keys(&self) -> HashSet<Key> {
        self.lock().keys().cloned().collect()
    }

    /// Returns the addresses of the sockets of an address.
    pub fn addrs(&self, key: &Key) -> Vec<Addr> {
        self.lock()
            .get(key)
            .map_or_else(Vec::new, |opened| opened.addrs.clone())
    }

    /// Returns the stack for an acceptor, and notes on which address it accepts.
    pub fn make(&self, acceptor: &Acceptor) -> Result<BoxStack, BoxError> {
        let mut opened = self.lock();
        let opened = acceptor.state().and_then(|key: &Key| opened.get_mut(key));
        let opened = opened.ok_or("the address is no longer configured")?;
        if !opened.addrs.contains(&acceptor.local_addr) {
            opened.addrs.push(acceptor.local_addr.clone());
        }
        Ok(opened.stack.clone())
    }
}

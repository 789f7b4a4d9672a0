//! A server, and the stack behind each of its addresses.

use crate::{
    addresses::{Address, Key},
    common,
    stack::BoxStack,
};
use reagent::{Acceptor, Addr, Bind, BoxError, ConnectionService, Server, ServerHandle};
use std::{
    collections::{HashMap, HashSet},
    future::ready,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tower::{Layer, service_fn};

/// The stacks of a configuration, with their addresses.
pub type Services = Vec<(Address, BoxStack)>;

/// A server whose addresses and stacks can be replaced.
pub struct Serving {
    pub server: ServerHandle,
    stacks: Stacks,
}

impl Serving {
    /// Listens on all addresses of `services`, with a server that `configure` makes.
    pub async fn start<L>(
        services: Services,
        configure: impl FnOnce(Vec<Bind>) -> Server<L>,
    ) -> Result<Self, BoxError>
    where
        L: Layer<BoxStack, Service: ConnectionService> + Clone + Send + 'static,
    {
        let stacks = Stacks::default();
        let binds = services.iter().map(|(address, _)| address.bind()).collect();
        for (address, stack) in services {
            stacks.set(&address.key, stack);
        }
        let make = stacks.clone();
        let make = service_fn(move |acceptor: Acceptor| ready(make.make(&acceptor)));
        let server = configure(binds).start_make(make).await?;
        Ok(Serving { server, stacks })
    }

    /// Listens on those addresses of `services` that are not open, and returns them. If one of them
    /// cannot be opened, none is.
    pub async fn open(&self, services: &Services) -> Result<Vec<Address>, BoxError> {
        self.forget_closed();
        let known = self.stacks.keys();
        let new = services
            .iter()
            .filter(|(address, _)| !known.contains(&address.key));
        for (address, stack) in new.clone() {
            self.stacks.set(&address.key, stack.clone());
        }
        let new: Vec<Address> = new.map(|(address, _)| address.clone()).collect();
        if new.is_empty() {
            return Ok(new);
        }
        let binds: Vec<Bind> = new.iter().map(Address::bind).collect();
        if let Err(error) = self.server.listen(binds).await {
            for address in &new {
                self.stacks.remove(&address.key);
            }
            return Err(error.into());
        }
        Ok(new)
    }

    /// Replaces the stacks by those of `services`, all of whose addresses are open, resumes the
    /// addresses that are paused, and closes all others.
    pub async fn replace(&self, services: Services) {
        let mut others = self.stacks.keys();
        for (address, stack) in services {
            others.remove(&address.key);
            self.stacks.set(&address.key, stack);
            for addr in self.stacks.addrs(&address.key) {
                self.server.resume_listener(&addr);
            }
        }
        self.server.remake_services();
        for key in others {
            self.close(&key).await;
        }
    }

    /// Stops listening on an address. Until then its acceptors need their stack.
    pub async fn close(&self, key: &Key) {
        for addr in self.addrs(key) {
            self.server.close_listener(&addr).await;
        }
        self.stacks.remove(key);
    }

    /// Returns the addresses of the sockets of an address.
    pub fn addrs(&self, key: &Key) -> Vec<Addr> {
        self.stacks.addrs(key)
    }

    /// Forgets the addresses that were closed on the admin page.
    fn forget_closed(&self) {
        let open: Vec<Addr> = self.server.local_addrs().collect();
        for key in self.stacks.keys() {
            let addrs = self.stacks.addrs(&key);
            if !addrs.iter().any(|addr| open.contains(addr)) {
                self.stacks.remove(&key);
            }
        }
    }

    /// Prints the addresses of sockets.
    pub fn print(&self, addresses: &[Address]) {
        for address in addresses {
            for addr in self.stacks.addrs(&address.key) {
                common::print(format_args!("{} on {addr}", address.what()));
            }
        }
    }
}

/// The stack behind each address. Clones share it.
#[derive(Clone, Default)]
struct Stacks(Arc<Mutex<HashMap<Key, Opened>>>);

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
    fn set(&self, key: &Key, stack: BoxStack) {
        let mut opened = self.lock();
        let addrs = opened.remove(key).map_or_else(Vec::new, |old| old.addrs);
        opened.insert(key.clone(), Opened { stack, addrs });
    }

    fn remove(&self, key: &Key) {
        let old = self.lock().remove(key);
        drop(old);
    }

    fn keys(&self) -> HashSet<Key> {
        self.lock().keys().cloned().collect()
    }

    /// Returns the addresses of the sockets of an address.
    fn addrs(&self, key: &Key) -> Vec<Addr> {
        let opened = self.lock();
        let addrs = opened.get(key).map(|opened| opened.addrs.clone());
        addrs.unwrap_or_default()
    }

    /// Returns the stack for an acceptor, and notes on which address it accepts.
    fn make(&self, acceptor: &Acceptor) -> Result<BoxStack, BoxError> {
        let mut opened = self.lock();
        let opened = acceptor.state().and_then(|key: &Key| opened.get_mut(key));
        let opened = opened.ok_or("the address is no longer configured")?;
        if !opened.addrs.contains(&acceptor.local_addr) {
            opened.addrs.push(acceptor.local_addr.clone());
        }
        Ok(opened.stack.clone())
    }
}

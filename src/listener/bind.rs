//! What a server is told to listen on.

use super::Listener;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// One thing to listen on: an address, still to be bound, or a listener.
pub struct Bind(pub(super) Target);

pub(super) enum Target {
    /// As written; read when the server starts.
    Text(String),
    Tcp(SocketAddr),
    Listener(Box<dyn Listener>),
}

impl Bind {
    pub(crate) fn listener(listener: impl Listener) -> Self {
        Bind(Target::Listener(Box::new(listener)))
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Target::Text(text) => f.write_str(text),
            Target::Tcp(addr) => addr.fmt(f),
            Target::Listener(listener) => listener.local_addr().fmt(f),
        }
    }
}

impl fmt::Debug for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bind({self})")
    }
}

impl From<&str> for Bind {
    fn from(text: &str) -> Self {
        Bind(Target::Text(text.to_owned()))
    }
}

impl From<String> for Bind {
    fn from(text: String) -> Self {
        Bind(Target::Text(text))
    }
}

impl From<&String> for Bind {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<SocketAddr> for Bind {
    fn from(addr: SocketAddr) -> Self {
        Bind(Target::Tcp(addr))
    }
}

impl<I: Into<IpAddr>> From<(I, u16)> for Bind {
    fn from(addr: (I, u16)) -> Self {
        Bind(Target::Tcp(addr.into()))
    }
}

/// What [`Server::bind`](crate::Server::bind) takes: one address, or an array, slice or vector of them.
pub trait IntoBinds {
    /// The addresses, in their order.
    fn into_binds(self) -> Vec<Bind>;
}

impl<T: Into<Bind>> IntoBinds for T {
    fn into_binds(self) -> Vec<Bind> {
        vec![self.into()]
    }
}

impl<T: Into<Bind>, const N: usize> IntoBinds for [T; N] {
    fn into_binds(self) -> Vec<Bind> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<T: Into<Bind>> IntoBinds for Vec<T> {
    fn into_binds(self) -> Vec<Bind> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<T: Into<Bind> + Clone> IntoBinds for &[T] {
    fn into_binds(self) -> Vec<Bind> {
        self.iter().cloned().map(Into::into).collect()
    }
}

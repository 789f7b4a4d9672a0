//! Lists of things to listen on.

use super::Bind;

/// An alias for the arguments of [`Server::bind`](crate::Server::bind): anything that converts into
/// a [`Bind`], or an array, slice or vector of such values.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an address to listen on",
    label = "not an address",
    note = "expected text such as \"127.0.0.1:80\" or \"unix:/run/app.sock\", a `SocketAddr`, a path, an opened listener, or a list of these"
)]
pub trait IntoBinds {
    /// Converts into a list, in the same order.
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

impl<T: Into<Bind> + Clone, const N: usize> IntoBinds for &[T; N] {
    fn into_binds(self) -> Vec<Bind> {
        self.as_slice().into_binds()
    }
}

impl<T: Into<Bind> + Clone> IntoBinds for &Vec<T> {
    fn into_binds(self) -> Vec<Bind> {
        self.as_slice().into_binds()
    }
}

//! Addresses of names.

mod cached;
mod driver;
mod system;
mod table;

pub use cached::Cached;
pub use driver::CacheDriver;
pub use system::System;

use reagent::BoxError;
use std::{fmt, future::Future, net::SocketAddr, pin::Pin, time::Duration};

/// A source of the addresses of names.
///
/// # Example
///
/// A resolver with a fixed list, as a test has it:
///
/// ```
/// use reagent::BoxError;
/// use reagent_layers::connect::{Connect, Resolve, Resolved};
///
/// #[derive(Debug)]
/// struct Fixed;
///
/// impl Resolve for Fixed {
///     async fn resolve(&self, name: &str) -> Result<Resolved, BoxError> {
///         match name {
///             "db.test" => Ok(Resolved::new(["192.0.2.1:0".parse()?])),
///             _ => Err("unknown name".into()),
///         }
///     }
/// }
///
/// let connect = Connect::new().resolver(Fixed);
/// # drop(connect);
/// ```
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// Returns the addresses of `name`, in the order in which they are to be tried. Their ports are
    /// ignored.
    ///
    /// # Errors
    ///
    /// Returns any error if the name has no addresses or they cannot be found out.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time.
    fn resolve(&self, name: &str) -> impl Future<Output = Result<Resolved, BoxError>> + Send;
}

/// The addresses of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// The addresses, in order. Their ports have no meaning.
    pub addrs: Vec<SocketAddr>,
    /// How long they may be used, if the source of the answer says so.
    pub ttl: Option<Duration>,
}

impl Resolved {
    /// Creates an answer without a time to live.
    pub fn new(addrs: impl IntoIterator<Item = SocketAddr>) -> Self {
        Resolved {
            addrs: addrs.into_iter().collect(),
            ttl: None,
        }
    }

    /// Sets how long the addresses may be used.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

/// A [`Resolve`] of any type.
pub(super) trait AnyResolve: fmt::Debug + Send + Sync {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a>;
}

pub(super) type Resolving<'a> =
    Pin<Box<dyn Future<Output = Result<Resolved, BoxError>> + Send + 'a>>;

impl<R: Resolve> AnyResolve for R {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        Box::pin(Resolve::resolve(self, name))
    }
}

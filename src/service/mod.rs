//! What a stack of layers ends in: a service of connections.

mod handler;
mod per_connection;
mod start;
mod upgrade;

pub use handler::{Handler, HandlerFuture, handle};
pub use per_connection::{PerConnection, PerConnectionFuture, per_connection};
pub use start::{Spawn, Start, TokioSpawn};
pub use upgrade::{Upgrade, UpgradeFuture, UpgradeLayer, UpgradeService};

use crate::{
    BoxError,
    connection::{BoxIo, Connection},
};
use std::future::Future;
use tower_service::Service;

/// A [`Service`] that serves connections: an alias that every fitting service has, to stand wherever
/// the bounds would be copied.
///
/// Its response is not looked at; [`handle`](crate::handle) makes one of a function. What else makes one is in the guide for
/// [protocols](crate::guide::protocol); what goes around one, in that for [layers](crate::guide::layer).
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not serve connections over `{Io}`",
    label = "not a service of `Connection<{Io}>`",
    note = "needed: `Service<Connection<{Io}>> + Send + 'static`, its error `Into<BoxError> + 'static` and its future `Send + 'static`",
    note = "`reagent::handle(async_fn)` makes one of an `async fn(Connection) -> Result<(), E>`; below a layer that changes the stream, a service has to take every `Connection<Io>`, as that one does"
)]
pub trait ConnectionService<Io = BoxIo>:
    Service<
        Connection<Io>,
        Response: Send + 'static,
        Error: Into<BoxError> + 'static,
        Future: Future + Send + 'static,
    > + Send
    + 'static
{
}

impl<S, Io> ConnectionService<Io> for S where
    S: Service<
            Connection<Io>,
            Response: Send + 'static,
            Error: Into<BoxError> + 'static,
            Future: Future + Send + 'static,
        > + Send
        + 'static
{
}

//! Services of connections: what a stack of layers ends in.

mod handler;
mod per_connection;
mod start;
mod upgrade;

pub use handler::{Handler, handle};
pub use per_connection::{PerConnection, PerConnectionFuture, per_connection};
pub use start::{Spawn, Start, TokioSpawn};
pub use upgrade::{Upgrade, UpgradeFuture, UpgradeLayer, UpgradeService};

use crate::{
    BoxError,
    connection::{BoxIo, Connection},
};
use std::future::Future;
use tower_service::Service;

/// An alias for every [`Service`] that serves connections over `Io`.
///
/// It is implemented for every matching service, so that signatures need not repeat these bounds.
/// The response of the service is ignored.
///
/// [`handle`] turns an async function into such a service. The guide to
/// [layers](crate::guide::layer) shows how to wrap one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not serve connections over `{Io}`",
    label = "not a service of `Connection<{Io}>`",
    note = "required: `Service<Connection<{Io}>> + Send + 'static` with an error that is `Into<BoxError> + 'static` and a future that is `Send + 'static`",
    note = "`reagent::handle(async_fn)` turns an `async fn(Connection) -> Result<(), E>` into such a service; inside a layer that changes the type of the stream, a service has to accept `Connection<Io>` for every `Io`, as the service of `handle` does"
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

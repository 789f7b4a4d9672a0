//! Services of connections: what a stack of layers ends in.

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
    note = "an `async fn(Connection) -> Result<(), E>` becomes a service, over every stream, by `reagent::handle`",
    note = "a service of HTTP requests, such as axum's `Router`, serves connections inside of `.layer(HttpLayer::new())`, and one of frames inside of a `FramedLayer`, both of the package `tower-reagent-layers`",
    note = "an `Upgrade` is no service; add it by `.layer(UpgradeLayer::new(upgrade))`",
    note = "needed: `Service<Connection<{Io}>> + Send + 'static`, its error `Into<BoxError> + 'static` and its future `Send + 'static`"
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

/// A [`ConnectionService`] that acceptors share by cloning it. It is implemented for every one that
/// is `Clone`, and exists for its compiler message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not `Clone`, so the acceptors of a server cannot share it",
    label = "not `Clone`: use `start_make`, which makes a service for each acceptor",
    note = "`Server::start` gives each acceptor a clone; `Server::start_make` takes a service that makes one for each, such as `tower::service_fn(async |_: reagent::Acceptor| Ok::<_, BoxError>(service.clone()))`, and applies the layers to it",
    note = "`tower::buffer::BufferLayer` around a service makes it `Clone`, and so does `BoxCloneServiceLayer` in the place of `BoxLayer`"
)]
pub trait CloneService<Io = BoxIo>: ConnectionService<Io> + Clone {}

impl<S: ConnectionService<Io> + Clone, Io> CloneService<Io> for S {}

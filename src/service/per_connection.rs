//! A separate service for each connection.

use crate::{
    BoxError,
    connection::{Connection, ConnectionInfo},
};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower::{MakeService, util::Oneshot};
use tower_service::Service;

/// Turns a `MakeService`, which many frameworks provide, into a connection service.
///
/// It makes a service for each connection. The connection's own task waits for that service and
/// calls it, so a limit around `make` ends when the service has been made. To limit whole
/// connections, put the limit around this adapter.
///
/// # Example
///
/// ```
/// use reagent::{Connection, ConnectionInfo, Server, per_connection};
/// use tokio::{
///     io::{AsyncReadExt, AsyncWriteExt},
///     net::TcpStream,
/// };
/// use tower::service_fn;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let make = service_fn(|info: ConnectionInfo| async move {
///     let greeting = format!("you are number {}", info.id);
///     Ok::<_, std::io::Error>(reagent::handle(move |mut conn: Connection| {
///         let greeting = greeting.clone();
///         async move { conn.write_all(greeting.as_bytes()).await }
///     }))
/// });
///
/// let server = Server::bind("127.0.0.1:0")
///     .start(per_connection(make))
///     .await?;
/// let mut client = TcpStream::connect(server.local_addr().to_string()).await?;
/// let mut greeting = String::new();
/// client.read_to_string(&mut greeting).await?;
/// assert_eq!(greeting, "you are number 1");
/// # Ok(())
/// # }
/// ```
pub fn per_connection<M>(make: M) -> PerConnection<M> {
    PerConnection { make }
}

/// The service that [`per_connection`] returns.
#[derive(Clone, Debug)]
#[must_use = "a service does nothing until a server is started with it"]
pub struct PerConnection<M> {
    make: M,
}

impl<M, Io> Service<Connection<Io>> for PerConnection<M>
where
    M: MakeService<ConnectionInfo, Connection<Io>>,
    M::MakeError: Into<BoxError>,
    M::Error: Into<BoxError>,
{
    type Response = M::Response;
    type Error = BoxError;
    type Future = PerConnectionFuture<M::Future, M::Service, Io>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.make.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        let making = self.make.make_service(conn.info());
        PerConnectionFuture {
            state: State::Making {
                making,
                conn: Some(conn),
            },
        }
    }
}

pin_project! {
    /// The future of a connection that is served by [`PerConnection`].
    #[must_use = "futures do nothing unless they are polled"]
    pub struct PerConnectionFuture<F, S, Io>
    where
        S: Service<Connection<Io>>,
    {
        #[pin]
        state: State<F, S, Io>,
    }
}

pin_project! {
    // ## Making => Serving
    #[project = StateProj]
    enum State<F, S, Io>
    where
        S: Service<Connection<Io>>,
    {
        Making { #[pin] making: F, conn: Option<Connection<Io>> },
        Serving { #[pin] serving: Oneshot<S, Connection<Io>> },
    }
}

impl<F, S, E, Io> Future for PerConnectionFuture<F, S, Io>
where
    F: Future<Output = Result<S, E>>,
    E: Into<BoxError>,
    S: Service<Connection<Io>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Making { making, conn } => {
                    let service = ready!(making.poll(cx)).map_err(Into::into)?;
                    let Some(conn) = conn.take() else {
                        unreachable!("the state changes when the connection is taken")
                    };
                    state.set(State::Serving {
                        serving: Oneshot::new(service, conn),
                    });
                }
                StateProj::Serving { serving } => return serving.poll(cx).map_err(Into::into),
            }
        }
    }
}

impl<F, S: Service<Connection<Io>>, Io> fmt::Debug for PerConnectionFuture<F, S, Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PerConnectionFuture")
    }
}

//! Servers and clients for the tests of single guarantees.

use reagent::{
    Acceptor, Addr, BoxError, Connection, ConnectionService, Handler, Server, ServerHandle, handle,
};
use std::{future::Future, io, pin::Pin, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tower::Layer;

/// The time limit for any step that has to complete.
pub const LONG: Duration = Duration::from_secs(20);
/// The time limit for serving a client for which there is capacity.
pub const SOON: Duration = Duration::from_secs(5);

/// Echoes until the client has finished sending.
pub async fn echo(mut conn: Connection) -> io::Result<()> {
    let mut bytes = [0; 64];
    loop {
        match conn.read(&mut bytes).await? {
            0 => return Ok(()),
            count => conn.write_all(&bytes[..count]).await?,
        }
    }
}

/// The service of [`echo`].
pub type Echo = Handler<fn(Connection) -> EchoFuture>;
type EchoFuture = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

pub fn service() -> Echo {
    handle(|conn| Box::pin(echo(conn)))
}

/// Starts the server with a stack per acceptor.
pub async fn make<L>(server: Server<L>) -> ServerHandle
where
    L: Layer<Echo> + Clone + Send + 'static,
    L::Service: ConnectionService,
{
    let make = tower::service_fn(|_: Acceptor| async { Ok::<_, BoxError>(service()) });
    server.start_make(make).await.expect("to be started")
}

/// Connects to this address.
pub async fn connect(addr: &Addr) -> TcpStream {
    let addr = addr.socket_addr().expect("a TCP address");
    let client = timeout(LONG, TcpStream::connect(addr)).await;
    client.expect("no time-out").expect("to be connected")
}

/// Returns whether bytes are echoed soon.
pub async fn echoes(client: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> bool {
    let exchange = async {
        client.write_all(b"hello").await?;
        let mut answer = [0; 5];
        client.read_exact(&mut answer).await?;
        io::Result::Ok(answer == *b"hello")
    };
    matches!(timeout(SOON, exchange).await, Ok(Ok(true)))
}

/// Connects to this address. Returns the client if it is served soon.
pub async fn served(addr: &Addr) -> Option<TcpStream> {
    let mut client = connect(addr).await;
    echoes(&mut client).await.then_some(client)
}

/// Returns a served client of the server's first address.
pub async fn guest(server: &ServerHandle) -> TcpStream {
    served(server.local_addr()).await.expect("to be served")
}

/// Waits until `condition` holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    if timeout(LONG, waiting).await.is_err() {
        panic!("not so after {LONG:?}: {what}");
    }
}

/// Waits for something that has to happen soon.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    match timeout(LONG, future).await {
        Ok(output) => output,
        Err(_) => panic!("timed out"),
    }
}

/// Runs a future concurrently with the test.
pub fn beside<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends with the runtime of the test"
    )]
    tokio::spawn(future)
}

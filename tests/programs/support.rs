//! Helpers shared by the modules.

use reagent::ServerHandle;
use std::{future::Future, io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// The time limit for any step of a test. A test that waits longer hangs.
pub const LONG: Duration = Duration::from_secs(20);

/// Stops the server once its clients have left.
pub async fn stop(server: &ServerHandle) {
    let report = server.drain(LONG).await;
    assert_eq!(
        (report.aborted, report.remaining),
        (0, 0),
        "connections stay open"
    );
}

/// Returns whether `text` is echoed.
pub async fn echoes(client: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), text: &str) -> bool {
    let exchange = async {
        client.write_all(text.as_bytes()).await?;
        let mut answer = vec![0; text.len()];
        client.read_exact(&mut answer).await?;
        io::Result::Ok(answer == text.as_bytes())
    };
    matches!(timeout(LONG, exchange).await, Ok(Ok(true)))
}

/// Reads to the end. Returns an error if the connection was reset.
pub async fn rest(client: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let result = soon(client.read_to_end(&mut bytes)).await;
    result.map(|_| bytes)
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
        Err(_) => panic!("not done after {LONG:?}"),
    }
}

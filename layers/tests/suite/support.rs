//! Helpers shared by the modules.

use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};
use reagent::{Connection, Observer, Outcome, ServerHandle, event};
use std::{
    collections::HashMap,
    fmt::Debug,
    future::Future,
    io,
    ops::Deref,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
};

/// The time limit for any step of a test. A test that waits longer hangs.
pub const LONG: Duration = Duration::from_secs(20);

/// Echoes until the client has finished sending, and then ends in order.
pub async fn echo(mut conn: Connection) -> io::Result<()> {
    let mut buf = [0; 1024];
    loop {
        match conn.read(&mut buf).await? {
            0 => return conn.shutdown().await,
            n => conn.write_all(&buf[..n]).await?,
        }
        conn.flush().await?;
    }
}

/// Returns whether `text` is echoed.
pub async fn echoes(client: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), text: &str) -> bool {
    let exchange = async {
        client.write_all(text.as_bytes()).await?;
        let mut answer = vec![0; text.len()];
        client.read_exact(&mut answer).await?;
        io::Result::Ok(answer == text.as_bytes())
    };
    matches!(tokio::time::timeout(LONG, exchange).await, Ok(Ok(true)))
}

/// Records the outcomes of connections.
#[derive(Clone, Debug, Default)]
pub struct Ends(Arc<Mutex<HashMap<u64, Outcome>>>);

impl Observer for Ends {
    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        self.0
            .lock()
            .unwrap()
            .insert(event.connection.id(), event.outcome.clone());
    }
}

impl Ends {
    /// Waits for the outcome of the connection with this number.
    pub async fn of(&self, id: u64) -> Outcome {
        let end = async {
            loop {
                if let Some(outcome) = self.0.lock().unwrap().get(&id) {
                    return outcome.clone();
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LONG * 1000, end)
            .await
            .expect("an end")
    }
}

/// A server with the outcomes of its connections.
#[derive(Debug)]
pub struct Served {
    pub server: ServerHandle,
    pub ends: Ends,
}

impl Deref for Served {
    type Target = ServerHandle;

    fn deref(&self) -> &ServerHandle {
        &self.server
    }
}

/// Waits for the outcome of an open connection.
pub async fn outcome(server: &ServerHandle, id: u64) -> Outcome {
    let end = async {
        loop {
            match server.connection(id) {
                Some(connection) => return connection.closed().await,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    };
    tokio::time::timeout(LONG * 1000, end)
        .await
        .expect("an end")
}

/// Runs a future concurrently with the test.
pub fn beside<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends with the runtime of the test"
    )]
    tokio::spawn(future)
}

/// Waits until `condition` holds, while everything else continues to run.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !condition() {
        assert!(began.elapsed() < LONG, "not so after {LONG:?}: {what}");
        tokio::task::yield_now().await;
    }
}

/// Checks a property for a number of cases, which are the same in every run.
pub fn check<T: Debug>(
    cases: u32,
    strategy: impl Strategy<Value = T>,
    test: impl Fn(T) -> Result<(), TestCaseError>,
) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    if let Err(error) = TestRunner::new_with_rng(config, rng).run(&strategy, test) {
        panic!("{error}");
    }
}

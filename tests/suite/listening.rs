//! What can be listened on, and what is said where it cannot.

use crate::support::{connect, echo, echoes};
use reagent::{Server, handle};
use std::time::Duration;

#[tokio::test]
async fn a_server_echoes() {
    let server = Server::bind("127.0.0.1:0")
        .start(handle(echo))
        .await
        .unwrap();
    let mut client = connect(&server).await;
    assert!(echoes(&mut client, "hello").await);
    drop(client);
    let report = server.drain(Duration::from_secs(5)).await;
    assert_eq!(report.aborted, 0);
}

//! Notifications for a service manager.

use super::{command, config::Files, in_time};
use crate::program::Example;
use reagent::BoxError;
use std::process::Stdio;
use tokio::{net::UnixDatagram, process::Command};

/// The receiving end of `NOTIFY_SOCKET`.
struct Manager {
    socket: UnixDatagram,
    files: Files,
}

impl Manager {
    fn new() -> Self {
        let files = Files::new("");
        let socket = UnixDatagram::bind(files.path("notify.sock")).unwrap();
        Manager { socket, files }
    }

    async fn start(&self, command: &mut Command) -> Example {
        let command = command.env("NOTIFY_SOCKET", self.files.path("notify.sock"));
        Example::start_with("gateway", command.stderr(Stdio::null())).await
    }

    /// Waits for a notification that contains this line.
    async fn receives(&self, line: &str) -> String {
        let received = async {
            loop {
                let mut buffer = [0; 1024];
                let length = self.socket.recv(&mut buffer).await.unwrap();
                let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
                if text.lines().any(|found| found == line) {
                    return text;
                }
            }
        };
        in_time(received).await
    }

    /// Returns all notifications that have arrived.
    fn received(&self) -> Result<String, BoxError> {
        let mut received = String::new();
        let mut buffer = [0; 1024];
        while let Ok(length) = self.socket.try_recv(&mut buffer) {
            received += &String::from_utf8(buffer[..length].to_vec())?;
        }
        Ok(received)
    }
}

#[tokio::test]
async fn the_service_manager_learns_of_every_stage() -> Result<(), BoxError> {
    let manager = Manager::new();
    let gateway = manager.start(&mut command("127.0.0.1:1", &[])).await;
    let pid = gateway.process.id().unwrap();
    let ready = manager.receives("READY=1").await;
    assert_eq!(ready, format!("READY=1\nMAINPID={pid}\n"));
    manager
        .receives("STATUS=0 connections open, 0 accepted")
        .await;
    drop(gateway.connect().await);
    manager
        .receives("STATUS=0 connections open, 1 accepted")
        .await;

    gateway.signal("HUP").await;
    let reloading = manager.receives("RELOADING=1").await;
    let since = reloading
        .lines()
        .find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(since.unwrap().parse::<u64>()? > 0, "{reloading}");
    manager.receives("READY=1").await;
    gateway.signal("TERM").await;
    manager.receives("STOPPING=1").await;
    gateway.ended().await;
    Ok(())
}

#[tokio::test]
async fn a_successor_is_the_main_process_and_its_predecessor_is_silent() -> Result<(), BoxError> {
    let manager = Manager::new();
    let path = manager.files.path("handover.sock");
    let args = ["--listen", "127.0.0.1:0", "--handover", &path];
    let first = manager.start(&mut command("127.0.0.1:1", &args)).await;
    manager
        .receives("STATUS=0 connections open, 0 accepted")
        .await;
    // Only the predecessor tells the manager, who must know before it sees that process end.
    let mut silent = command("127.0.0.1:1", &args);
    let second = Example::start_with("gateway", silent.stderr(Stdio::null())).await;
    let pid = second.process.id().unwrap();
    first.ended().await;
    assert!(manager.received()?.contains(&format!("MAINPID={pid}\n")));

    let third = manager.start(&mut command("127.0.0.1:1", &args)).await;
    let pid = third.process.id().unwrap();
    second.ended().await;
    third.stop("TERM").await;
    let received = manager.received()?;
    assert!(
        received.contains(&format!("READY=1\nMAINPID={pid}\n")),
        "{received}"
    );
    // The service does not stop when the predecessor does.
    assert_eq!(received.matches("STOPPING=1").count(), 1, "{received}");
    Ok(())
}

#[tokio::test]
async fn a_service_manager_that_is_gone_changes_nothing() -> Result<(), BoxError> {
    let manager = Manager::new();
    std::fs::remove_file(manager.files.path("notify.sock"))?;
    let gateway = manager.start(&mut command("127.0.0.1:1", &[])).await;
    gateway.signal("HUP").await;
    drop(gateway.connect().await);
    gateway.stop("TERM").await;
    Ok(())
}

//! An example in its own process.

use crate::support::LONG;
use std::{path::PathBuf, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// A running example and its output.
pub struct Example {
    pub process: Child,
    output: Option<Lines<BufReader<ChildStdout>>>,
    pub addr: String,
}

impl Example {
    pub async fn start(name: &str) -> Self {
        Self::start_at(name, "127.0.0.1:0").await
    }

    pub async fn start_at(name: &str, listen: &str) -> Self {
        Self::start_with(name, Command::new(binary(name)).args(["--listen", listen])).await
    }

    pub async fn start_with(name: &str, command: &mut Command) -> Self {
        let mut process = command
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} is built by `cargo build --examples`: {error}"));
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut example = Example {
            process,
            output: Some(output),
            addr: String::new(),
        };
        let first = example.line().await;
        example.addr = first
            .strip_prefix("listening on ")
            .expect(&first)
            .to_owned();
        example
    }

    pub async fn line(&mut self) -> String {
        let output = self.output.as_mut().expect("an output that is open");
        let line = timeout(LONG, output.next_line())
            .await
            .expect("a line in time");
        line.unwrap().expect("a line before the end")
    }

    /// Closes the reading end of the example's output.
    pub fn close_output(&mut self) {
        self.output = None;
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.addr).await.unwrap()
    }

    pub async fn signal(&self, signal: &str) {
        let pid = self.process.id().expect("it runs").to_string();
        assert!(
            Command::new("kill")
                .args(["-s", signal, &pid])
                .status()
                .await
                .unwrap()
                .success()
        );
    }

    /// Stops the example with a signal.
    pub async fn stop(self, signal: &str) {
        self.signal(signal).await;
        self.ended().await;
    }

    /// Waits for the example to end by itself with exit status 0.
    pub async fn ended(mut self) {
        let status = timeout(LONG, self.process.wait())
            .await
            .expect("an end in time");
        assert!(status.unwrap().success());
    }
}

pub fn binary(name: &str) -> PathBuf {
    // target/PROFILE/deps/suite-HASH
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("examples").join(name)
}

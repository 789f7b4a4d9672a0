//! Every example does what its documentation promises.

use crate::{
    port::Port,
    program::{Example, binary},
    support::{LONG, echoes, rest, soon},
};
use std::{fs, path::Path, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpStream, UnixStream},
    process::Command,
    time::timeout,
};

async fn line(client: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    timeout(LONG, client.read_line(&mut line))
        .await
        .expect("a line in time")
        .unwrap();
    line
}

#[tokio::test]
async fn echo() {
    let example = Example::start("echo").await;
    let mut client = example.connect().await;
    assert!(echoes(&mut client, "hello").await);
    let mut idle = example.connect().await;
    assert!(echoes(&mut idle, "hello").await);
    // It is stopped while both are connected, and both see the end at once.
    example.signal("INT").await;
    assert!(rest(&mut idle).await.unwrap().is_empty());
    assert!(rest(&mut client).await.unwrap().is_empty());
    example.ended().await;
}

#[test]
fn the_program_of_the_readme_is_the_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let example = std::fs::read_to_string(root.join("examples/echo.rs")).unwrap();
    let program = readme.split("```").nth(1).unwrap();
    let mut lines = example.lines();
    for line in program.lines().skip(1) {
        // The example takes its address from the command line, and handles SIGTERM too.
        let differs = ["Server::bind(", "println!(", "server.drain_on("];
        if !differs.iter().any(|start| line.trim().contains(start)) {
            assert!(
                lines.any(|other| other == line),
                "not in the example: {line}"
            );
        }
    }
}

#[tokio::test]
async fn bench_echo_in_all_its_forms() {
    for settings in [
        &[][..],
        &[("LAYERS", "4")],
        &[("PER_CORE", "1"), ("THREADS", "2")],
    ] {
        // It prints nothing, so the test selects a port for it.
        let port = Port::new();
        let mut command = Command::new(binary("bench_echo"));
        let mut process = command
            .env("ADDR", port.addr().to_string())
            .envs(settings.iter().copied())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let connecting = async {
            loop {
                match TcpStream::connect(port.addr()).await {
                    Ok(client) => return client,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        let mut client = timeout(LONG, connecting).await.unwrap();
        assert!(echoes(&mut client, "hello").await, "{settings:?}");
        process.kill().await.unwrap();
    }
}

#[tokio::test]
async fn chat() {
    let example = Example::start("chat").await;
    let mut ada = BufReader::new(example.connect().await);
    assert_eq!(line(&mut ada).await, "welcome, you are guest 1 of 1\n");
    let mut bob = BufReader::new(example.connect().await);
    assert_eq!(line(&mut bob).await, "welcome, you are guest 2 of 2\n");
    assert_eq!(line(&mut ada).await, "guest 2 joined\n");

    // Lines do not depend on how the network splits the stream.
    for piece in ["hel", "lo\nsec", "ond\n"] {
        ada.get_mut().write_all(piece.as_bytes()).await.unwrap();
    }
    assert_eq!(line(&mut bob).await, "guest 1: hello\n");
    assert_eq!(line(&mut bob).await, "guest 1: second\n");
    drop(bob);
    assert_eq!(line(&mut ada).await, "guest 2 left\n");
    example.stop("TERM").await;
    assert_eq!(line(&mut ada).await, "the room is closing, good night\n");
}

#[tokio::test]
async fn unix_socket() {
    let path = std::env::temp_dir().join(format!("reagent-example-{}.sock", std::process::id()));
    let example = Example::start_at("unix_socket", &format!("unix:{}", path.display())).await;
    let mut client = UnixStream::connect(&path).await.unwrap();
    let answer = String::from_utf8(rest(&mut client).await.unwrap()).unwrap();
    assert!(
        answer.ends_with(&format!("in process {}\n", std::process::id())),
        "{answer}"
    );
    example.stop("TERM").await;
    assert!(!path.exists());
}

#[tokio::test]
async fn graceful_shutdown() {
    let mut example = Example::start("graceful_shutdown").await;
    let mut early = BufReader::new(example.connect().await);
    assert_eq!(line(&mut early).await, "0\n");

    example.signal("USR1").await;
    assert_eq!(example.line().await, "Paused, 1 connections");
    let mut late = BufReader::new(example.connect().await);
    example.signal("USR2").await;
    assert!(example.line().await.starts_with("Running"));
    assert_eq!(line(&mut late).await, "0\n");

    example.signal("TERM").await;
    let report = example.line().await;
    assert!(report.ends_with("2 finished, 0 aborted"), "{report}");
    for mut client in [early, late] {
        let last = String::from_utf8(rest(&mut client).await.unwrap()).unwrap();
        assert!(last.ends_with("goodbye\n"), "{last}");
    }
}

#[tokio::test]
async fn custom_layer() {
    let mut example = Example::start("custom_layer").await;
    let mut ada = example.connect().await;
    ada.write_all(b"I am Ada\nhow are you?\n").await.unwrap();
    ada.shutdown().await.unwrap();
    assert_eq!(
        rest(&mut ada).await.unwrap(),
        b"welcome, Ada\nhow are you?\n"
    );
    assert!(example.line().await.starts_with("connection 1 took "));

    let mut mallory = example.connect().await;
    mallory.write_all(b"let me in\n").await.unwrap();
    assert!(rest(&mut mallory).await.unwrap().is_empty());
    example.stop("TERM").await;
}

#[tokio::test]
async fn line_protocol() {
    let example = Example::start("line_protocol").await;
    let mut client = BufReader::new(example.connect().await);
    let lines = b"2 + 3\n-1+1\n2 +\n9223372036854775807 + 1\n";
    client.get_mut().write_all(lines).await.unwrap();
    assert_eq!(line(&mut client).await, "5\n");
    assert_eq!(line(&mut client).await, "0\n");
    let error = line(&mut client).await;
    assert!(error.starts_with("error: service error"), "{error}");
    assert_eq!(line(&mut client).await, "9223372036854775808\n");
    let too_long = [b'1'; 2000];
    client.get_mut().write_all(&too_long).await.unwrap();
    let error = line(&mut client).await;
    assert!(error.contains("max line length exceeded"), "{error}");
    assert!(rest(&mut client).await.unwrap().is_empty());
    example.stop("TERM").await;
}

#[tokio::test]
async fn testing() {
    let example = Example::start("testing").await;
    let mut client = example.connect().await;
    client.write_all(b"1\n2\n").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await.unwrap(), b"3\n");
    example.stop("TERM").await;
}

const ALL: [&str; 13] = [
    "chat",
    "custom_layer",
    "echo",
    "gateway",
    "graceful_shutdown",
    "grpc",
    "http",
    "line_protocol",
    "redis",
    "smtp",
    "socks5",
    "testing",
    "unix_socket",
];

#[tokio::test]
async fn every_example_explains_its_options_and_refuses_unknown_ones() {
    for name in ALL {
        let help = Command::new(binary(name)).arg("--help").output();
        let help = soon(help).await.unwrap();
        assert!(help.status.success(), "{name}: {help:?}");
        let help = String::from_utf8(help.stdout).unwrap();
        assert!(
            help.contains("Usage: ") && help.contains("--listen <ADDR>"),
            "{help}"
        );

        let typo = Command::new(binary(name))
            .args(["--lisen", "127.0.0.1:0"])
            .output();
        let typo = soon(typo).await.unwrap();
        assert_eq!(typo.status.code(), Some(2), "{name}: {typo:?}");
        let typo = String::from_utf8(typo.stderr).unwrap();
        assert!(typo.contains("unexpected argument '--lisen'"), "{typo}");
        assert!(typo.contains("'--listen'"), "{typo}");
    }
}

/// As when the terminal in which it was started is closed.
#[tokio::test]
async fn no_example_is_ended_by_a_hangup_or_a_closed_output() {
    let dir = tempfile::tempdir().unwrap();
    let path = format!("unix:{}", dir.path().join("app.sock").display());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = dir.path().join("cert-and-key.pem");
    fs::write(&pem, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
    for name in ALL {
        let mut command = Command::new(binary(name));
        match name {
            "unix_socket" => command.args(["--listen", &path]),
            "gateway" => command.args(["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1"]),
            _ => command.args(["--listen", "127.0.0.1:0"]),
        };
        if name == "smtp" {
            command
                .arg("--tls-cert")
                .arg(&pem)
                .arg("--tls-key")
                .arg(&pem);
        }
        let mut example = Example::start_with(name, &mut command).await;
        example.close_output();
        example.signal("HUP").await;
        // After that it still serves clients, and prints the result of its drain.
        if !path.starts_with(&example.addr) {
            drop(example.connect().await);
        }
        example.stop("TERM").await;
    }
}

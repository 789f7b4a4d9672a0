//! `examples/smtp.rs`, with swaks, openssl and raw bytes.

use crate::{
    program::{Example, binary},
    skipped::skipped,
    support::LONG,
};
use std::{fs, future::Future, io, process::Stdio, sync::Arc};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::Command,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore},
};

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(LONG, future).await.expect("done in time")
}

struct Sink {
    dir: tempfile::TempDir,
    example: Example,
    connector: TlsConnector,
}

impl Sink {
    async fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        fs::write(&cert, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots);
        let mut command = Command::new(binary("smtp"));
        command.args(["--listen", "127.0.0.1:0", "--tls-cert"]);
        command.arg(&cert).arg("--tls-key").arg(&key);
        Sink {
            dir,
            example: Example::start_with("smtp", &mut command).await,
            connector: TlsConnector::from(Arc::new(config.with_no_client_auth())),
        }
    }

    /// Connects a client that has received the greeting.
    async fn greeted(&self) -> BufReader<TcpStream> {
        let mut client = BufReader::new(self.example.connect().await);
        assert_eq!(reply(&mut client).await, "220 reagent ESMTP");
        client
    }

    /// Connects a client that has begun TLS.
    async fn secure(&self) -> BufReader<TlsStream<TcpStream>> {
        let mut client = self.greeted().await;
        assert_eq!(ask(&mut client, "STARTTLS").await, "220 go ahead");
        let name = "localhost".try_into().unwrap();
        let connecting = self.connector.connect(name, client.into_inner());
        BufReader::new(in_time(connecting).await.unwrap())
    }
}

/// Reads a line, or nothing at the end.
async fn reply(client: &mut (impl AsyncBufReadExt + Unpin)) -> String {
    let mut line = String::new();
    let _ = in_time(client.read_line(&mut line)).await;
    line.trim_end().to_owned()
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut BufReader<S>,
    command: &str,
) -> String {
    client
        .write_all(format!("{command}\r\n").as_bytes())
        .await
        .unwrap();
    client.flush().await.unwrap();
    reply(client).await
}

#[tokio::test]
async fn swaks_sends_a_message_over_tls_and_none_without() {
    let mut sink = Sink::start().await;
    let send = |tls: &'static str| {
        let mut swaks = Command::new("swaks");
        swaks.args(["--server", &sink.example.addr, "--from", "a@example.org"]);
        swaks.args(["--to", "b@example.org,c@example.org", "--body", "hello"]);
        swaks
            .args(["--helo", "localhost"])
            .args([tls].iter().filter(|tls| !tls.is_empty()));
        swaks.kill_on_drop(true);
        async move { in_time(swaks.output()).await }
    };
    let output = match send("--tls").await {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return skipped("swaks is not installed");
        }
        Err(error) => panic!("{error}"),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("TLSv1.3"), "{said}");
    let plain = send("").await.unwrap();
    let said = String::from_utf8_lossy(&plain.stdout);
    assert!(!plain.status.success(), "{said}");
    assert!(said.contains("530 STARTTLS is required"), "{said}");
    let line = sink.example.line().await;
    assert!(line.ends_with(r#" bytes from "a@example.org" to ["b@example.org", "c@example.org"]"#));
    assert!(sink.dir.path().exists());
}

#[tokio::test]
async fn openssl_begins_tls_and_goes_on_with_the_protocol() {
    let sink = Sink::start().await;
    let mut openssl = Command::new("openssl");
    openssl.args([
        "s_client",
        "-starttls",
        "smtp",
        "-quiet",
        "-crlf",
        "-no_ign_eof",
    ]);
    openssl.args([
        "-verify_return_error",
        "-servername",
        "localhost",
        "-CAfile",
    ]);
    openssl.arg(sink.dir.path().join("cert.pem"));
    openssl
        .args(["-connect", &sink.example.addr])
        .kill_on_drop(true);
    openssl.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut openssl = match openssl.stderr(Stdio::null()).spawn() {
        Ok(openssl) => openssl,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return skipped("openssl is not installed");
        }
        Err(error) => panic!("{error}"),
    };
    let commands = b"EHLO localhost\nMAIL FROM:<a@example.org>\nQUIT\n";
    let stdin = openssl.stdin.as_mut().unwrap();
    stdin.write_all(commands).await.unwrap();
    let mut said = String::new();
    let stdout = openssl.stdout.as_mut().unwrap();
    in_time(stdout.read_to_string(&mut said)).await.unwrap();
    // No offer of TLS after it has begun.
    assert!(!said.contains("250-STARTTLS"), "{said}");
    assert!(said.ends_with("\r\n250 OK\r\n221 bye\r\n"), "{said}");
}

#[tokio::test]
async fn commands_behind_starttls_are_never_executed() {
    let sink = Sink::start().await;
    let mut client = sink.greeted().await;
    client
        .write_all(b"STARTTLS\r\nMAIL FROM:<mallory@example.org>\r\n")
        .await
        .unwrap();
    assert_eq!(reply(&mut client).await, "220 go ahead");
    assert_eq!(reply(&mut client).await, "");

    // What was said before the handshake is forgotten.
    let mut client = sink.secure().await;
    assert_eq!(ask(&mut client, "STARTTLS").await, "500 unknown command");
    let reply = ask(&mut client, "RCPT TO:<b@example.org>").await;
    assert_eq!(reply, "503 expected MAIL first");
}

#[tokio::test]
async fn a_message_ends_only_with_a_dot_between_two_crlfs() {
    let mut sink = Sink::start().await;
    let begin = [
        "MAIL FROM:<a@example.org>",
        "RCPT TO:<b@example.org>",
        "DATA",
    ];
    for end in ["\n.\n", "\n.\r\n", "\r.\r\n"] {
        let mut client = sink.secure().await;
        for command in begin {
            ask(&mut client, command).await;
        }
        let reply = ask(
            &mut client,
            &format!("text{end}MAIL FROM:<m@example.org>\r\n."),
        )
        .await;
        assert!(reply.starts_with("500 expected lines"), "{reply}");
        assert_eq!(self::reply(&mut client).await, "");
    }
    let mut client = sink.secure().await;
    for command in begin {
        ask(&mut client, command).await;
    }
    // The second line is a dot and a word.
    assert_eq!(ask(&mut client, "text\r\n..MAIL\r\n.").await, "250 OK");
    let line = sink.example.line().await;
    assert_eq!(
        line,
        r#"13 bytes from "a@example.org" to ["b@example.org"]"#
    );
}

#[tokio::test]
async fn limits_end_a_client_and_a_drain_says_so() {
    let sink = Sink::start().await;
    let mut long = sink.greeted().await;
    let reply = ask(&mut long, &"x".repeat(1000)).await;
    assert!(reply.starts_with("500 expected lines"), "{reply}");
    let mut wrong = sink.greeted().await;
    for _ in 0..21 {
        assert_eq!(ask(&mut wrong, "HELP").await, "500 unknown command");
    }
    assert_eq!(self::reply(&mut wrong).await, "421 too many mistakes");

    let mut idle = sink.secure().await;
    sink.example.signal("TERM").await;
    let reply = self::reply(&mut idle).await;
    assert_eq!(reply, "421 the server is shutting down");
    assert_eq!(in_time(idle.read(&mut [0])).await.unwrap(), 0);
    sink.example.ended().await;
}

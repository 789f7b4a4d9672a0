//! The same with an independent client.

use super::{
    pki::{Ca, Dir},
    running::in_time,
};
use reagent::{Carried, Connection, Server, ServerHandle};
use reagent_layers::tls::{TicketKeys, TlsInfo, TlsLayer};
use std::{fs, io, path::Path, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

/// Sends what is known about the client, after its first bytes.
async fn tell(conn: Connection) -> io::Result<()> {
    let tls = conn.extensions().get::<TlsInfo>().unwrap().clone();
    let mut conn = BufReader::new(conn);
    conn.read_line(&mut String::new()).await?;
    let text = format!(
        "<{} {} {} {}>\n",
        tls.version(),
        tls.server_name().unwrap_or("-"),
        tls.peer_subject().unwrap_or("-"),
        tls.is_resumed()
    );
    conn.write_all(text.as_bytes()).await?;
    conn.shutdown().await
}

/// Returns the output of `openssl s_client`, or `None` if it is not installed.
async fn s_client(server: &ServerHandle, args: &[&str]) -> Option<String> {
    let addr = server.local_addr().to_string();
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-connect", &addr])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            crate::skipped::skipped("openssl is not installed");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    // Kept open until the end, because s_client exits at the end of its input.
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(b"hello\n").await;
    let output = in_time(child.wait_with_output()).await.unwrap();
    drop(stdin);
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text += &String::from_utf8_lossy(&output.stderr);
    Some(text)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn openssl_speaks_both_versions_with_names_protocols_and_resumption() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (cert, key) = ca.server(&["localhost"]).write(&dir, "localhost");
    let (any_cert, any_key) = ca.server(&["*.example.org"]).write(&dir, "any");
    let authority = dir.write("ca.pem", ca.pem());
    let layer = TlsLayer::builder()
        .certificate(cert, key)
        .certificate_for("*.example.org", any_cert, any_key)
        .alpn(["h2", "http/1.1"])
        .build()
        .unwrap();
    let server = Server::bind("127.0.0.1:0")
        .layer(layer)
        .start(reagent::handle(tell));
    let server = server.await.unwrap();
    for (flag, version) in [("-tls1_2", "1.2"), ("-tls1_3", "1.3")] {
        let session = dir.path(version);
        let client = |name: &'static str, sess: &'static str| {
            let args = [
                flag,
                "-CAfile",
                text(&authority),
                "-verify_return_error",
                "-verify_hostname",
                name,
                "-servername",
                name,
                "-alpn",
                "http/1.1",
                sess,
                text(&session),
            ];
            let args = args.map(str::to_owned);
            let server = server.clone();
            async move { s_client(&server, &args.each_ref().map(String::as_str)).await }
        };
        let Some(said) = client("localhost", "-sess_out").await else {
            return;
        };
        assert!(
            said.contains(&format!("<{version} localhost - false>")),
            "{said}"
        );
        assert!(said.contains("ALPN protocol: http/1.1"), "{said}");
        assert!(said.contains("TLS session ticket:"), "{said}");
        assert!(said.contains("Verify return code: 0 (ok)"), "{said}");

        let said = client("localhost", "-sess_in").await.unwrap();
        assert!(
            said.contains(&format!("<{version} localhost - true>")),
            "{said}"
        );
        assert!(said.contains(&format!("Reused, TLSv{version}")), "{said}");

        let said = client("a.example.org", "-sess_out").await.unwrap();
        assert!(
            said.contains(&format!("<{version} a.example.org - false>")),
            "{said}"
        );
        assert!(!said.contains("unexpected eof"), "{said}");
    }
}

#[tokio::test]
async fn openssl_hears_why_it_is_refused() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (cert, key) = ca.server(&["localhost"]).write(&dir, "localhost");
    let (alice, alice_key) = ca.client("alice").write(&dir, "alice");
    let layer = TlsLayer::builder()
        .certificate_for("localhost", cert, key)
        .require_client_certificates(dir.write("ca.pem", ca.pem()))
        .build()
        .unwrap();
    let server = Server::bind("127.0.0.1:0")
        .layer(layer)
        .start(reagent::handle(tell));
    let server = server.await.unwrap();
    for version in ["-tls1_2", "-tls1_3"] {
        let Some(said) = s_client(&server, &[version, "-servername", "other.test"]).await else {
            return;
        };
        assert!(said.contains("unrecognized name"), "{said}");
        let said = s_client(&server, &[version, "-servername", "localhost"]).await;
        let said = said.unwrap();
        assert!(said.contains("alert certificate required"), "{said}");
        let with = ["-cert", text(&alice), "-key", text(&alice_key)];
        let args = [&[version, "-servername", "localhost"], &with[..]].concat();
        let said = s_client(&server, &args).await.unwrap();
        assert!(said.contains("localhost CN=alice false>"), "{said}");
    }
    let report = server.drain(std::time::Duration::from_secs(10)).await;
    assert_eq!(report.aborted, 0);
}

/// Starts a server that sends what is known about its clients.
pub async fn start(layer: TlsLayer) -> ServerHandle {
    let server = Server::bind("127.0.0.1:0").layer(layer);
    server.start(reagent::handle(tell)).await.unwrap()
}

/// Returns whether a session of one server is resumed at another, or `None` if openssl is not
/// installed.
pub async fn resumes_at(
    dir: &Dir,
    one: &ServerHandle,
    other: &ServerHandle,
    version: &str,
) -> Option<bool> {
    let session = dir.path("session");
    let flag = format!("-tls{}", version.replace('.', "_"));
    for (server, action, is_last) in [(one, "-sess_out", false), (other, "-sess_in", true)] {
        let args = [&flag, "-servername", "localhost", action, text(&session)];
        let said = s_client(server, &args).await?;
        let about = |is_resumed| said.contains(&format!("<{version} localhost - {is_resumed}>"));
        assert!(about(true) != about(false), "{said}");
        if is_last {
            return Some(about(true));
        }
        assert!(about(false), "{said}");
    }
    None
}

/// Converts a session between the encodings of openssl.
async fn convert(from: (&str, &Path), to: (&str, &Path)) {
    let (input, output) = (text(from.1), text(to.1));
    let args = [
        "-inform", from.0, "-in", input, "-outform", to.0, "-out", output,
    ];
    let status = Command::new("openssl").arg("sess_id").args(args).status();
    assert!(in_time(status).await.unwrap().success());
}

#[tokio::test]
async fn openssl_resumes_after_a_restart_and_falls_back_with_a_damaged_ticket() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (cert, key) = ca.server(&["localhost"]).write(&dir, "localhost");
    let keys = TicketKeys::new();
    let start = async |keys: TicketKeys| {
        let builder = TlsLayer::builder().certificate(&cert, &key);
        let layer = builder.ticket_keys(keys).build().unwrap();
        let server = Server::bind("127.0.0.1:0").layer(layer);
        server.start(reagent::handle(tell)).await.unwrap()
    };
    let first = start(keys.clone()).await;
    for (flag, version) in [("-tls1_2", "1.2"), ("-tls1_3", "1.3")] {
        let (session, der) = (dir.path(version), dir.path("der"));
        let (new, resumed) = (
            format!("<{version} localhost - false>"),
            format!("<{version} localhost - true>"),
        );
        let args = [flag, "-servername", "localhost"];
        let out = [&args[..], &["-sess_out", text(&session)]].concat();
        let Some(said) = s_client(&first, &out).await else {
            return;
        };
        assert!(said.contains(&new), "{said}");

        let second = start(TicketKeys::new()).await;
        let resuming = [&args[..], &["-sess_in", text(&session)]].concat();
        let said = s_client(&second, &resuming).await.unwrap();
        assert!(said.contains(&new), "{said}");
        let (saved, successors) = (keys.save(), TicketKeys::new());
        successors.restore(&saved).unwrap();
        let third = start(successors).await;
        let said = s_client(&third, &resuming).await.unwrap();
        assert!(said.contains(&resumed), "{said}");

        // The name of the key, with which its tickets begin.
        let name = &saved[13..29];
        convert(("PEM", &session), ("DER", &der)).await;
        let whole = fs::read(&der).unwrap();
        let begin = whole.windows(16).position(|window| window == name);
        let begin = begin.expect("a ticket");
        // In the name, the nonce and the encrypted session.
        for at in [0, 20, 40] {
            let mut damaged = whole.clone();
            damaged[begin + at] ^= 1;
            fs::write(&der, damaged).unwrap();
            convert(("DER", &der), ("PEM", &session)).await;
            let said = s_client(&third, &resuming).await.unwrap();
            assert!(said.contains(&new), "{at}: {said}");
        }
    }
}

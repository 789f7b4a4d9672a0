//! `openssl s_server` as the upstream.

use super::places::{connect, in_time, name, to};
use crate::tls::pki::{Ca, Dir};
use reagent_layers::connect::TlsClient;
use std::{io, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

#[tokio::test]
async fn openssl_accepts_both_versions_with_a_client_certificate() {
    for version in ["-tls1_2", "-tls1_3"] {
        let (dir, ca) = (Dir::new(), Ca::new("ca"));
        let (cert, key) = ca.server(&["upstream.test"]).write(&dir, "server");
        let (alice, alice_key) = ca.client("alice").write(&dir, "alice");
        let authorities = dir.write("ca.pem", ca.pem());
        let mut command = Command::new("openssl");
        command
            .args(["s_server", "-accept", "127.0.0.1:0", version, "-rev"])
            .args(["-Verify", "1", "-verify_return_error", "-alpn", "one,two"])
            .arg("-cert")
            .arg(&cert)
            .arg("-key")
            .arg(&key)
            .arg("-CAfile")
            .arg(&authorities)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut server = match command.spawn() {
            Ok(server) => server,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return crate::skipped::skipped("openssl is not installed");
            }
            Err(error) => panic!("{error}"),
        };
        let mut said = BufReader::new(server.stdout.take().unwrap()).lines();
        let addr = loop {
            let line = in_time(said.next_line()).await.unwrap().unwrap();
            if let Some(addr) = line.strip_prefix("ACCEPT ") {
                break addr.parse().unwrap();
            }
        };
        let tls = TlsClient::builder()
            .authorities(authorities)
            .certificate(alice, alice_key)
            .alpn(["two"])
            .build()
            .unwrap();
        let connector = to([addr]).tls(tls);
        let mut io = connect(&connector, name(addr.port())).await.unwrap();
        let session = io.tls_session().unwrap();
        assert_eq!(session.alpn_protocol(), Some(&b"two"[..]));
        io.write_all(b"abc\n").await.unwrap();
        let mut reversed = [0; 4];
        in_time(io.read_exact(&mut reversed)).await.unwrap();
        assert_eq!(&reversed, b"cba\n");
        io.shutdown().await.unwrap();
    }
}

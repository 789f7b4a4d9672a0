//! A real HAProxy as the upstream: the header before TLS.

use super::places::{at, connect_to, in_time};
use crate::tls::pki::{Ca, Dir};
use reagent_layers::{
    connect::{Connect, ConnectRequest, Target, TlsClient},
    proxy_protocol::{Header, Ssl, Tlv},
};
use std::{net::TcpListener, os::fd::OwnedFd, process::Stdio};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
};

#[tokio::test]
async fn haproxy_reads_the_header_and_then_tls() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let made = ca.server(&["upstream.test"]);
    let both = format!("{}{}", made.pem, made.key.serialize_pem());
    let pem = dir.write("server.pem", both);
    let config = [
        "defaults".to_owned(),
        "  mode http".to_owned(),
        "  timeout client 20s".to_owned(),
        "frontend test".to_owned(),
        format!("  bind fd@0 accept-proxy ssl crt {}", pem.display()),
        "  http-request return status 200 content-type text/plain lf-string \
         \"%[src]:%[src_port] to %[dst]:%[dst_port], %[fc_pp_authority], %[fc_pp_unique_id], \
         %[ssl_fc_sni]\""
            .to_owned(),
        String::new(),
    ];
    let config = dir.write("haproxy.cfg", config.join("\n"));
    // HAProxy inherits a listening socket, so that no port has to be guessed.
    let listener = TcpListener::bind(at(1, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let haproxy = Command::new("haproxy")
        .args(["-db", "-f"])
        .arg(config)
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .kill_on_drop(true)
        .spawn();
    let _haproxy = match haproxy {
        Ok(haproxy) => haproxy,
        Err(error) => return crate::skipped::skipped(format_args!("haproxy: {error}")),
    };
    let tls = TlsClient::builder()
        .authorities(dir.write("ca.pem", ca.pem()))
        .server_name("upstream.test")
        .build()
        .unwrap();
    let connector = Connect::new().tls(tls);
    let ssl = Ssl {
        client: 1,
        verify: 1,
        version: Some("TLSv1.3".into()),
        cipher: Some("TLS_AES_128_GCM_SHA256".into()),
        signature_algorithm: Some("RSA-SHA256".into()),
        key_algorithm: Some("RSA2048".into()),
        ..Ssl::default()
    };
    let v2 = Header::v2(at(7, 70), at(8, 80))
        .tlv(Tlv::Authority("db.test".into()))
        .tlv(Tlv::UniqueId(b"id-1".to_vec()))
        .tlv(Tlv::Ssl(ssl))
        .checksum();
    for (header, known) in [(v2.clone(), "db.test, id-1"), (v2.into_v1(), ", ")] {
        let request = ConnectRequest::new(Target::Addr(at(1, port)));
        let request = request.preface(header.encode().unwrap());
        let mut io = connect_to(&connector, request).await.unwrap();
        let get = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        io.write_all(get).await.unwrap();
        let mut answer = String::new();
        let _ = in_time(io.read_to_string(&mut answer)).await;
        let expected = format!("127.0.0.7:70 to 127.0.0.8:80, {known}, upstream.test");
        assert!(answer.ends_with(&expected), "{answer}");
    }
}

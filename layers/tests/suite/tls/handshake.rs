//! The results of a handshake, and how the handler learns them.

use super::{
    pki::{BOTH, Ca, Dir, EACH},
    running::{Running, close, localhost},
};
use crate::support::echoes;
use reagent::{Connection, Outcome, Server};
use reagent_layers::tls::{TlsInfo, TlsLayer, rustls};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep,
};
use tokio_rustls::TlsConnector;

#[tokio::test]
async fn both_versions_are_spoken_and_told() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let mut running = Running::new(localhost(&dir, &ca)).await;
    for (version, told) in EACH.into_iter().zip(["1.2", "1.3"]) {
        let config = Arc::new(ca.believer(&[version]));
        let mut client = running.connect(&config, "localhost").await.unwrap();
        assert!(echoes(&mut client, "hello").await);
        let seen = running.seen().await;
        assert!(seen.secure);
        assert_eq!(seen.protocol, None);
        assert_eq!(seen.tls.version(), told);
        assert_eq!(seen.tls.server_name(), Some("localhost"));
        assert_eq!(
            Some(seen.tls.cipher_suite()),
            client
                .get_ref()
                .1
                .negotiated_cipher_suite()
                .map(|suite| suite.suite())
        );
        assert!(!seen.tls.is_resumed());
        assert!(seen.tls.peer_certificates().is_empty());
        assert_eq!(seen.tls.peer_subject(), None);
        assert!(
            seen.info
                .labels
                .contains(&("tls.protocol.version", told.into()))
        );
        let labels: Vec<_> = seen
            .info
            .labels
            .iter()
            .map(|(key, value)| (*key, &**value))
            .collect();
        assert!(labels.contains(&("server.address", "localhost")));
        assert!(!labels.iter().any(|(key, _)| *key == "tls.next_protocol"));
        let (_, cipher) = labels.iter().find(|(key, _)| *key == "tls.cipher").unwrap();
        let iana = match told {
            "1.2" => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            _ => "TLS_AES_256_GCM_SHA384",
        };
        assert_eq!(*cipher, iana);
        close(client).await;
        assert!(matches!(running.end().await, Outcome::Completed));
    }
}

#[tokio::test]
async fn the_first_protocol_of_the_server_that_the_client_has_is_agreed_on() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (cert, key) = ca.server(&["localhost"]).write(&dir, "localhost");
    let layer = TlsLayer::builder()
        .certificate(cert, key)
        .alpn(["h2", "http/1.1"])
        .build()
        .unwrap();
    let mut running = Running::new(layer).await;
    for version in EACH {
        let mut config = ca.believer(&[version]);
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
        let _client = running
            .connect(&Arc::new(config), "localhost")
            .await
            .unwrap();
        let seen = running.seen().await;
        assert_eq!(seen.protocol.as_deref(), Some(&b"h2"[..]));
        assert_eq!(seen.tls.alpn(), Some(&b"h2"[..]));
        let label = ("tls.next_protocol", "h2".to_owned());
        assert!(seen.info.labels.contains(&label));
    }
    let _silent_about_it = running
        .connect(&Arc::new(ca.believer(BOTH)), "localhost")
        .await
        .unwrap();
    assert_eq!(running.seen().await.tls.alpn(), None);
}

#[tokio::test]
async fn the_second_time_a_session_is_resumed() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let mut running = Running::new(localhost(&dir, &ca)).await;
    for version in EACH {
        let config = Arc::new(ca.believer(&[version]));
        for resumed in [false, true, true] {
            let mut client = running.connect(&config, "localhost").await.unwrap();
            assert!(echoes(&mut client, "with the echo comes the ticket").await);
            assert_eq!(
                running.seen().await.tls.is_resumed(),
                resumed,
                "{version:?}"
            );
            close(client).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_is_resumed_for_as_long_as_it_may() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (cert, key) = ca.server(&["localhost"]).write(&dir, "localhost");
    let builder = TlsLayer::builder().certificate(cert, key);
    for (lifetime, expected) in [
        (Some(100), [true, false]),
        (Some(0), [false; 2]),
        (None, [false; 2]),
    ] {
        let lifetime = lifetime.map(Duration::from_secs);
        let layer = builder.clone().session_lifetime(lifetime).build().unwrap();
        let mut running = Running::new(layer).await;
        for version in EACH {
            for (wait, expected) in [99, 101].into_iter().zip(expected) {
                let config = Arc::new(ca.believer(&[version]));
                for resumed in [false, expected] {
                    let mut client = running.connect(&config, "localhost").await.unwrap();
                    assert!(echoes(&mut client, "with the echo comes the ticket").await);
                    let tls = running.seen().await.tls;
                    assert_eq!(tls.is_resumed(), resumed, "{version:?} {lifetime:?} {wait}");
                    close(client).await;
                    sleep(Duration::from_secs(wait)).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_custom_config_is_used_unchanged() {
    let ca = Ca::new("ca");
    let made = ca.server(&["localhost"]);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.clone()], made.key_der())
        .unwrap();
    let mut running = Running::new(TlsLayer::from_config(Arc::new(config))).await;
    let config = Arc::new(ca.believer(BOTH));
    let _client = running.connect(&config, "localhost").await.unwrap();
    assert_eq!(running.seen().await.tls.version(), "1.2");
}

#[tokio::test]
async fn only_shutdown_says_that_everything_was_sent() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (listener, clients) = reagent::testing::MemoryListener::new();
    let _server = Server::new(listener)
        .layer(localhost(&dir, &ca))
        .start(reagent::handle(|mut conn: Connection| async move {
            let shut = conn.read_u8().await? == b's';
            conn.write_all(b"answer").await?;
            conn.flush().await?;
            if shut { conn.shutdown().await } else { Ok(()) }
        }))
        .await
        .unwrap();
    let connector = TlsConnector::from(Arc::new(ca.believer(BOTH)));
    for (word, expected) in [(b"s", Ok(6)), (b"d", Err(io::ErrorKind::UnexpectedEof))] {
        let stream = clients.connect().await.unwrap();
        let name = "localhost".try_into().unwrap();
        let mut client = connector.connect(name, stream).await.unwrap();
        client.write_all(word).await.unwrap();
        let mut answer = Vec::new();
        let end = client.read_to_end(&mut answer).await;
        assert_eq!(answer, b"answer");
        assert_eq!(end.map_err(|error| error.kind()), expected);
    }
}

#[tokio::test]
async fn a_connection_by_a_wildcard_keeps_its_local_address() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let server = Server::bind("0.0.0.0:0")
        .layer(localhost(&dir, &ca))
        .start(reagent::handle(|mut conn: Connection| async move {
            let local = conn.local_addr()?.to_string();
            conn.write_all(local.as_bytes()).await?;
            conn.shutdown().await
        }))
        .await
        .unwrap();
    let addr = ("127.0.0.1", server.local_addr().port().unwrap());
    let stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let connector = TlsConnector::from(Arc::new(ca.believer(BOTH)));
    let name = "localhost".try_into().unwrap();
    let mut client = connector.connect(name, stream).await.unwrap();
    let mut local = String::new();
    client.read_to_string(&mut local).await.unwrap();
    assert_eq!(local, format!("{}:{}", addr.0, addr.1));
}

#[tokio::test]
async fn nothing_of_a_key_or_certificate_is_shown() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let made = ca.server(&["localhost"]);
    let alice = ca.client("alice");
    let (cert, key) = made.write(&dir, "server");
    let builder = TlsLayer::builder()
        .certificate(cert, key)
        .require_client_certificates(dir.write("ca.pem", ca.pem()));
    let layer = builder.clone().build().unwrap();
    let reloader = layer.reloader();
    let service = tower_layer::Layer::layer(&layer, ());
    let mut running = Running::new(layer.clone()).await;
    let config = Arc::new(ca.believer_with(&alice, BOTH));
    let _client = running.connect(&config, "localhost").await.unwrap();
    let info: TlsInfo = running.seen().await.tls;
    let shown = format!("{builder:?}{layer:?}{reloader:?}{service:?}{info:?}");

    for secret in [
        made.key.serialize_pem(),
        made.pem.clone(),
        alice.pem.clone(),
    ] {
        for line in secret.lines() {
            assert!(!shown.contains(line), "{shown}");
        }
    }
    for secret in [&made.key.serialize_der()[..], &made.cert, &alice.cert] {
        let bytes = format!("{:?}", &secret[secret.len() - 12..]);
        assert!(!shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
    }
}

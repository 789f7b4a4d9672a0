//! Routes by what a TLS client asks for.

use super::{config::Files, named_upstream, say, started, tls::s_client};
use reagent::BoxError;

#[tokio::test]
async fn tls_clients_are_routed_by_name_and_protocol() -> Result<(), BoxError> {
    let (plain, named, offered) = (
        named_upstream("plain").await,
        named_upstream("named").await,
        named_upstream("h2").await,
    );
    let secret = named_upstream("secret").await;

    // An upstream that terminates TLS itself.
    let inner = Files::new(&format!(
        "listen = '127.0.0.1:0'\nto = '{}'\ntls-cert = 'cert.pem'\ntls-key = 'key.pem'\n",
        secret.local_addr()
    ));
    inner.certify("inner.example.org");
    let (inner_gateway, _events) = started(&inner, &[]).await;

    let files = Files::new(&format!(
        "[[listener]]\nlisten = '127.0.0.1:0'\nto = '{}'\n\
         [[listener.route]]\nsni = '*.example.org'\nto = '{}'\ntls = 'pass-through'\n\
         [[listener.route]]\nsni = ['b.test', 'a.test']\nto = '{}'\n\
         tls-cert = 'cert.pem'\ntls-key = 'key.pem'\n\
         [[listener.route]]\nalpn = 'h2'\nto = '{}'\ntls-cert = 'cert.pem'\ntls-key = 'key.pem'\n",
        plain.local_addr(),
        inner_gateway.addr,
        named.local_addr(),
        offered.local_addr(),
    ));
    files.certify("a.test");
    let (gateway, _events) = started(&files, &[]).await;

    // Clients without TLS match no route.
    let mut client = gateway.connect().await;
    assert_eq!(say(&mut client, "hello").await?, "plain hello");
    let cases: [(&[&str], &str, &str); 4] = [
        // Each client trusts only the certificate that it has to see.
        (
            &["-servername", "inner.example.org"],
            &inner.path("cert.pem"),
            "secret hello",
        ),
        (
            &["-servername", "a.test"],
            &files.path("cert.pem"),
            "named hello",
        ),
        (
            &["-servername", "x.test", "-alpn", "x,h2"],
            &files.path("cert.pem"),
            "h2 hello",
        ),
        (
            &["-noservername", "-alpn", "h2"],
            &files.path("cert.pem"),
            "h2 hello",
        ),
    ];
    for (args, ca, expected) in cases {
        let args = [args, &["-CAfile", ca, "-verify_return_error"]].concat();
        let Some(said) = s_client(&gateway.addr, &args, "hello\n").await else {
            return Ok(());
        };
        assert!(said.contains(expected), "{args:?}: {said}");
    }
    // A client that matches no route is passed through to the upstream of the listener.
    let said = s_client(&gateway.addr, &["-servername", "x.test"], "hello\n").await;
    assert!(!said.unwrap().contains("hello"));
    // A protocol of the route is negotiated, and none where the route has none.
    let args = ["-servername", "a.test", "-alpn", "h2"];
    let said = s_client(&gateway.addr, &args, "hello\n").await.unwrap();
    assert!(said.contains("No ALPN negotiated"), "{said}");
    let args = ["-alpn", "x,h2"];
    let said = s_client(&gateway.addr, &args, "hello\n").await.unwrap();
    assert!(said.contains("ALPN protocol: h2"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_route_without_conditions_takes_every_tls_client() -> Result<(), BoxError> {
    let (plain, secret) = (
        named_upstream("plain").await,
        named_upstream("secret").await,
    );
    let files = Files::new(&format!(
        "listen = '127.0.0.1:0'\nto = '{}'\n\
         [[route]]\nto = '{}'\ntls-cert = 'cert.pem'\ntls-key = 'key.pem'\n",
        plain.local_addr(),
        secret.local_addr()
    ));
    files.certify("a.test");
    let (gateway, _events) = started(&files, &[]).await;
    let mut client = gateway.connect().await;
    assert_eq!(say(&mut client, "hello").await?, "plain hello");
    let Some(said) = s_client(&gateway.addr, &["-noservername"], "hello\n").await else {
        return Ok(());
    };
    assert!(said.contains("secret hello"), "{said}");
    Ok(())
}

#[tokio::test]
async fn clients_without_a_route_are_refused_if_there_is_no_upstream_for_them()
-> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let files = Files::new(&format!(
        "[[listener]]\nlisten = '127.0.0.1:0'\n\
         [[listener.route]]\nsni = 'a.test'\nto = '{}'\ntls = 'pass-through'\n",
        upstream.local_addr()
    ));
    let (gateway, _events) = started(&files, &[]).await;
    let mut client = gateway.connect().await;
    assert!(say(&mut client, "hello").await.is_err());
    let Some(said) = s_client(&gateway.addr, &["-servername", "b.test"], "hello\n").await else {
        return Ok(());
    };
    assert!(!said.contains("a hello"), "{said}");
    assert_eq!(upstream.stats().accepted, 0);
    Ok(())
}

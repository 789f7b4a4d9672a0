//! Requests that are refused, and why.

use super::{AnswerExt, Watched, send};
use reagent::Addr;
use reagent_layers::admin::Admin;
use std::net::SocketAddr;

#[tokio::test]
async fn everything_but_the_page_and_the_probes_needs_the_token() {
    let watched = Watched::with(Admin::new().token("s3cret")).await;
    for (path, is_open) in [
        ("/", true),
        ("/admin.js", true),
        ("/admin.css", true),
        ("/ready", true),
        ("/live", true),
        ("/stats", false),
        ("/connections", false),
        ("/connections/1", false),
        ("/listeners", false),
        ("/limits", false),
        ("/bans", false),
        ("/certificates", false),
        ("/upstreams", false),
        ("/nothing", false),
    ] {
        for header in [
            "",
            "authorization: Bearer s3cre\r\n",
            "authorization: Bearer s3cret2\r\n",
            "authorization: Bearer \r\n",
            "authorization: Bearer\r\n",
            "authorization: Basic s3cret\r\n",
            "authorization: s3cret\r\n",
            "authorization: Bearer S3CRET\r\n",
            "cookie: token=s3cret\r\n",
        ] {
            let answer = watched.send("GET", path, header, "").await;
            if is_open {
                assert_eq!(answer.status, 200, "{path}");
            } else {
                answer.error(401);
                let challenge = answer.header("www-authenticate");
                assert_eq!(
                    challenge,
                    Some("Bearer realm=\"reagent admin\""),
                    "{path} {header}"
                );
            }
        }
    }
    for header in [
        "authorization: Bearer s3cret\r\n",
        "Authorization: bearer s3cret\r\n",
    ] {
        watched.send("GET", "/stats", header, "").await.json(200);
    }
    watched.write("POST", "/drain", "").await.error(401);
    assert_eq!(watched.server.status(), reagent::ServerStatus::Running);
}

#[tokio::test]
async fn only_known_names_of_the_host_are_served() {
    let watched = Watched::with(Admin::new().host("admin.example.org")).await;
    for (host, is_known) in [
        ("localhost", true),
        ("LOCALHOST:8080", true),
        ("localhost.", true),
        ("127.0.0.1", true),
        ("127.0.0.1:1", true),
        ("[::1]:8080", true),
        ("192.0.2.1", true),
        ("Admin.Example.org:443", true),
        ("", false),
        ("evil.example", false),
        ("localhost.evil.example", false),
        ("127.0.0.1.evil.example", false),
        ("evil-localhost", false),
        ("admin.example.org.evil.example", false),
        ("x.admin.example.org", false),
    ] {
        for path in ["/", "/stats", "/ready", "/nothing"] {
            let mut browser = watched.browser().await;
            let answer = send(&mut browser, "GET", path, &format!("host: {host}\r\n"), "").await;
            if !is_known {
                answer.error(421);
            } else if path != "/nothing" {
                assert_eq!(answer.status, 200, "{host} {path}");
            }
        }
    }
    // The target of the request counts as well.
    let mut browser = watched.browser().await;
    let target = "http://evil.example/stats";
    send(&mut browser, "GET", target, "host: localhost\r\n", "")
        .await
        .error(421);
    // A client of HTTP/1.0 may send none.
    let mut browser = watched.browser().await;
    browser.send("GET /stats HTTP/1.0\r\n\r\n").await;
    browser.answer().await.unwrap().error(421);
    // The probes of load balancers are such clients.
    for (path, status) in [
        ("/ready", 200),
        ("/live", 200),
        ("/", 421),
        ("/nothing", 421),
    ] {
        let mut browser = watched.browser().await;
        browser.send(&format!("GET {path} HTTP/1.0\r\n\r\n")).await;
        assert_eq!(browser.answer().await.unwrap().status, status, "{path}");
    }
}

#[tokio::test]
async fn requests_of_other_sites_are_refused() {
    let watched = Watched::new().await;
    for (origin, is_same) in [
        ("http://localhost", true),
        ("https://LOCALHOST", true),
        ("http://localhost:81", false),
        ("http://evil.example", false),
        ("http://localhost.evil.example", false),
        ("null", false),
        ("", false),
        ("localhost", false),
    ] {
        let origin = format!("origin: {origin}\r\n");
        let read = watched.send("GET", "/stats", &origin, "").await;
        let headers = format!("{origin}x-reagent-admin: 1\r\n");
        let path = "/limits/max-connections";
        let write = watched.send("POST", path, &headers, r#"{"max": 5}"#).await;
        if is_same {
            read.json(200);
            write.json(200);
        } else {
            assert!(read.error(403).contains("another origin"), "{origin}");
            assert!(write.error(403).contains("another origin"), "{origin}");
        }
    }
}

#[tokio::test]
async fn a_write_needs_a_header_that_no_form_can_send() {
    let watched = Watched::new().await;
    let (_client, handle) = watched.client("192.0.2.1:4000", 1).await;
    let abort = format!("/connections/{}/abort", handle.id());
    for (method, path, body) in [
        ("POST", &*abort, ""),
        ("POST", "/connections/1/drain", ""),
        ("POST", "/listeners/x/close", ""),
        ("POST", "/limits/max-connections", r#"{"max": 0}"#),
        ("POST", "/bans", r#"{"client": "192.0.2.1", "seconds": 1}"#),
        ("DELETE", "/bans/192.0.2.1", ""),
        ("POST", "/upstreams/db/one/drain", ""),
        ("POST", "/drain", ""),
    ] {
        for header in ["", "x-reagent-admin: 0\r\n", "x-reagent-admin: \r\n"] {
            let error = watched.send(method, path, header, body).await.error(403);
            assert!(error.contains("x-reagent-admin: 1"), "{path}");
        }
    }
    assert_eq!(watched.server.stats().open, 1);
    assert_eq!(watched.server.stats().max_connections, None);
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_named() {
    let watched = Watched::new().await;
    for (method, path, allowed) in [
        ("POST", "/", "GET, HEAD"),
        ("POST", "/connections", "GET, HEAD"),
        ("DELETE", "/connections/1", "GET, HEAD"),
        ("GET", "/connections/1/abort", "POST"),
        ("GET", "/upstreams/db/one/drain", "POST"),
        ("PUT", "/limits/max-connections", "GET, HEAD, POST"),
        ("DELETE", "/bans", "GET, HEAD, POST"),
        ("GET", "/bans/192.0.2.1", "DELETE"),
        ("GET", "/listeners/x/pause", "POST"),
        ("GET", "/drain", "POST"),
        ("OPTIONS", "/stats", "GET, HEAD"),
    ] {
        let answer = watched.write(method, path, "").await;
        answer.error(405);
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
    }
    for path in [
        "/nothing",
        "/connections/",
        "/connections/x",
        "/connections/-1",
        "/connections/1/kill",
        "/connections/1/abort/",
        "//",
        "/stats/",
        "/%ff",
        "/STATS",
        "/../stats",
    ] {
        watched.get(path).await.error(404);
    }
}

#[tokio::test]
async fn a_query_that_means_nothing_is_refused() {
    let watched = Watched::new().await;
    for path in [
        "/connections?sort=size",
        "/connections?sort=",
        "/connections?order=age",
        "/connections?limit=0",
        "/connections?limit=1001",
        "/connections?limit=-1",
        "/connections?limit=ten",
        "/connections?after=1",
        "/connections?after=1.x",
        "/connections?client=example.org",
        "/connections?client=192.0.2.0/33",
        "/connections?sort=age&sort=age",
        "/connections?%00=1",
        "/stats?x",
        "/limits?max=1",
    ] {
        watched.get(path).await.error(400);
    }
    watched
        .write("POST", "/drain?deadline=1", "")
        .await
        .error(400);
    let error = watched.get("/connections?sort=size").await.error(400);
    assert_eq!(
        error,
        "invalid sort \"size\": expected age, bytes, idle or rate"
    );
}

#[tokio::test]
async fn clients_of_other_machines_need_the_token() {
    let open = Watched::new().await;
    let closed = Watched::with(Admin::new().token("t")).await;
    for (addr, is_local) in [
        ("127.0.0.1:1", true),
        ("127.9.9.9:1", true),
        ("[::1]:1", true),
        ("[::ffff:127.0.0.1]:1", true),
        ("192.0.2.1:1", false),
        ("[2001:db8::1]:1", false),
    ] {
        let host = "host: localhost\r\n";
        let answer = send(&mut open.browser_at(addr).await, "GET", "/stats", host, "").await;
        match is_local {
            true => drop(answer.json(200)),
            false => assert!(answer.error(403).contains("without a token"), "{addr}"),
        }
        let host = "host: localhost\r\nauthorization: Bearer t\r\n";
        send(
            &mut closed.browser_at(addr).await,
            "GET",
            "/stats",
            host,
            "",
        )
        .await
        .json(200);
    }
}

#[test]
fn an_address_that_others_can_reach_needs_the_token() {
    let tcp = |text: &str| Addr::from(text.parse::<SocketAddr>().unwrap());
    for (addr, is_local) in [
        (tcp("127.0.0.1:1"), true),
        (tcp("[::1]:1"), true),
        (Addr::Unix(None), true),
        (tcp("0.0.0.0:1"), false),
        (tcp("[::]:1"), false),
        (tcp("192.0.2.1:1"), false),
        (Addr::Other("vsock".into()), false),
    ] {
        assert_eq!(Admin::new().check_addr(&addr).is_ok(), is_local, "{addr}");
        assert!(Admin::new().token("t").check_addr(&addr).is_ok());
    }
    let error = Admin::new().check_addr(&tcp("0.0.0.0:9000")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the admin page at 0.0.0.0:9000 can be reached from other machines: set a token, or \
         listen on a loopback address or a Unix socket"
    );
}

#[test]
fn a_token_is_not_shown_and_not_empty() {
    let admin = Admin::new().token("s3cret");
    assert!(!format!("{admin:?}").contains("s3cret"));
    assert!(std::panic::catch_unwind(|| Admin::new().token("")).is_err());
}

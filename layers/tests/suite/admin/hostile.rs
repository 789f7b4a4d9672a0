//! Requests that are meant to do harm, and words of clients that are.

use super::{AnswerExt, Watched, send};
use crate::http::{SECOND, in_time};
use reagent::{Connection, Server, testing::MemoryListener};
use reagent_layers::{admin::Admin, http::HttpLayer};
use tokio::time::Instant;

#[tokio::test]
async fn a_body_is_bounded_however_it_is_sent() {
    let watched = Watched::new().await;
    let path = "/limits/max-connections";
    let long = format!(r#"{{"max": 5, "x": "{}"}}"#, "x".repeat(5000));
    assert!(
        watched
            .write("POST", path, &long)
            .await
            .error(413)
            .contains("4096 bytes")
    );
    let mut browser = watched.browser().await;
    let chunk = format!("fff\r\n{}\r\n", " ".repeat(0xfff));
    browser
        .send(&format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nx-reagent-admin: 1\r\n\
             transfer-encoding: chunked\r\n\r\n{chunk}{chunk}{chunk}"
        ))
        .await;
    browser.answer().await.unwrap().error(413);
    // It fits exactly.
    let fits = format!(r#"{{"max":5{}}}"#, " ".repeat(4096 - 9));
    assert_eq!(fits.len(), 4096);
    watched.write("POST", path, &fits).await.json(200);
    let deep = "[".repeat(4000);
    watched.write("POST", path, &deep).await.error(400);
    // A body that nobody asked for is not read.
    watched
        .write("POST", "/connections/1/abort", &long)
        .await
        .error(404);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for_long() {
    let watched = Watched::new().await;
    let mut browser = watched.browser().await;
    let began = Instant::now();
    browser
        .send(
            "POST /drain HTTP/1.1\r\nhost: localhost\r\nx-reagent-admin: 1\r\n\
             content-length: 10\r\n\r\n{",
        )
        .await;
    browser.answer().await.unwrap().error(408);
    assert_eq!(began.elapsed().as_secs(), 10);
    assert_eq!(watched.server.status(), reagent::ServerStatus::Running);
    tokio::time::sleep(SECOND).await;
}

#[tokio::test]
async fn the_words_of_clients_stay_words() {
    const WORDS: &str = "</script><script>alert(1)</script>\"\\\u{0}\n\u{2028}\u{202e}";
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .start(reagent::handle(|conn: Connection| async move {
            conn.label("server.address", WORDS);
            conn.draining().await;
            Ok::<_, std::io::Error>(())
        }))
        .await
        .unwrap();
    let _client = clients.connect().await.unwrap();
    let watched = Watched::new().await;
    let admin = Admin::new();
    admin.attach(&server);
    let (listener, browsers) = MemoryListener::new();
    let page = Server::new(listener).layer(HttpLayer::new()).start(admin);
    let page = page.await.unwrap();
    let local: std::net::SocketAddr = "127.0.0.1:1".parse().unwrap();
    let find = async || {
        let mut browser = crate::http::Raw(browsers.connect_from(local).await.unwrap());
        let path = "/connections";
        send(&mut browser, "GET", path, "host: localhost\r\n", "").await
    };
    let answer = in_time(async {
        loop {
            let answer = find().await;
            if answer.body.contains("server.address") {
                return answer;
            }
        }
    })
    .await;
    assert_eq!(answer.json(200)[0]["labels"]["server.address"], WORDS);
    assert!(!answer.body.contains('\n'));
    drop((page, watched));
}

#[tokio::test]
async fn every_answer_has_the_headers_that_protect_it() {
    let watched = Watched::new().await;
    for path in ["/", "/admin.js", "/stats", "/nothing", "/connections?x"] {
        let answer = watched.get(path).await;
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn the_page_names_no_other_place() {
    let watched = Watched::new().await;
    for path in ["/", "/admin.js", "/admin.css"] {
        let answer = watched.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        let content = answer.body;
        let content = content.replace("http://www.w3.org/2000/svg", "");
        for word in [
            "http:",
            "https:",
            "src=\"//",
            "url(",
            "@import",
            "innerHTML",
            "eval(",
        ] {
            assert!(!content.contains(word), "{path}: {word}");
        }
        let inline = ["<style", " style=", " onclick=", "<script>"];
        assert!(!inline.iter().any(|word| content.contains(word)), "{path}");
    }
}

//! The admin page of the gateway.

use super::{command, config::Files, gateway, in_time, named_upstream, read_all, say, started};
use crate::{
    port::Port,
    program::{Example, binary},
};
use reagent::BoxError;
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    process::Command,
    task::JoinSet,
};

/// The address of a page of the gateway.
pub struct Page {
    pub addr: String,
    headers: String,
}

impl Page {
    /// Reads the address from the next line of the gateway's output.
    pub async fn of(gateway: &mut Example) -> Self {
        let line = gateway.line().await;
        Page {
            addr: line.split_once(" on ").expect(&line).1.to_owned(),
            headers: String::new(),
        }
    }

    pub fn at(addr: &str) -> Self {
        Page {
            addr: addr.to_owned(),
            headers: String::new(),
        }
    }

    pub fn header(mut self, header: &str) -> Self {
        self.headers += &format!("{header}\r\n");
        self
    }

    /// Sends a request, and returns the status and the body.
    async fn send(&self, request: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = format!(
            "{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{}content-length: {}\r\n\r\n{body}",
            self.headers,
            body.len(),
        );
        match self.addr.strip_prefix("unix:") {
            Some(path) => exchange(UnixStream::connect(path).await.unwrap(), &request).await,
            None => exchange(TcpStream::connect(&self.addr).await.unwrap(), &request).await,
        }
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.send(&format!("GET {path}"), Value::Null).await
    }

    pub async fn post(&self, path: &str, body: Value) -> u16 {
        self.send(&format!("POST {path}"), body).await.0
    }

    /// Returns the connections of the listener at `addr`.
    async fn connections(&self, addr: &str) -> Vec<Value> {
        let (status, list) = self.get("/connections").await;
        assert_eq!(status, 200, "{list}");
        let list = list.as_array().unwrap().iter();
        list.filter(|conn| conn["listener"] == addr)
            .cloned()
            .collect()
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> (u16, Value) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    in_time(stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

pub const WRITE: &str = "x-reagent-admin: 1";

#[tokio::test]
async fn connections_are_listed_and_ended() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let to = upstream.local_addr().to_string();
    let mut gateway = gateway(&to, &["--admin", "127.0.0.1:0", "--max-connections", "1"]).await;
    let page = Page::of(&mut gateway).await;
    let mut client = gateway.connect().await;
    assert_eq!(say(&mut client, "hello").await?, "a hello");

    // The page is served although the limit is reached.
    let listed = page.connections(&gateway.addr).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["client"], client.local_addr()?.to_string());
    let abort = format!("/connections/{}/abort", listed[0]["id"]);
    assert_eq!(page.post(&abort, Value::Null).await, 403);
    assert_eq!(say(&mut client, "hello").await?, "a hello");
    let page = page.header(WRITE);
    assert_eq!(page.post(&abort, Value::Null).await / 100, 2);
    assert!(read_all(&mut client).await.is_err(), "reset");
    // The page is not one of the listeners, and cannot be closed from itself.
    let close = format!("/listeners/{}/close", page.addr);
    assert_eq!(page.post(&close, Value::Null).await, 409);
    for (path, expected) in [
        ("/ready", 200),
        ("/live", 200),
        ("/stats", 200),
        ("/nothing", 404),
    ] {
        assert_eq!(page.get(path).await.0, expected, "{path}");
    }
    gateway.stop("TERM").await;
    Ok(())
}

const PER_CLIENT: &str = "/limits/127.0.0.1:0%20per-client";

#[tokio::test]
async fn limits_of_the_gateway_are_shown_and_changed() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let to = upstream.local_addr().to_string();
    let args = [
        "--admin",
        "127.0.0.1:0",
        "--max-connections",
        "7",
        "--per-client",
        "1",
    ];
    let more = ["--accept-rate", "1000", "--bandwidth", "1000000"];
    let mut gateway = gateway(&to, &[&args[..], &more].concat()).await;
    let page = Page::of(&mut gateway).await.header(WRITE);
    let (_, limits) = page.get("/limits").await;
    let limits = limits.as_array().unwrap().iter();
    let limits: Vec<_> = limits
        .map(|limit| (limit["name"].as_str().unwrap(), &limit["max"]))
        .collect();
    // Names are those of the listener and the option, however many listeners there are.
    let expected = [
        ("127.0.0.1:0 accept-rate", &json!(1000)),
        ("127.0.0.1:0 bandwidth", &json!(1_000_000)),
        ("127.0.0.1:0 max-connections", &Value::Null),
        ("127.0.0.1:0 per-client", &json!(1)),
        ("max-connections", &json!(7)),
    ];
    assert_eq!(limits, expected);

    let mut first = gateway.connect().await;
    assert_eq!(say(&mut first, "hello").await?, "a hello");
    assert!(say(&mut gateway.connect().await, "hello").await.is_err());
    assert_eq!(page.post(PER_CLIENT, json!({"max": 2})).await / 100, 2);
    let mut second = gateway.connect().await;
    assert_eq!(say(&mut second, "hello").await?, "a hello");
    assert_eq!(page.post(PER_CLIENT, json!({"max": null})).await / 100, 2);
    assert_eq!(page.get(PER_CLIENT).await.1["max"], Value::Null);

    assert_eq!(
        page.post("/limits/max-connections", json!({"max": 2}))
            .await
            / 100,
        2
    );
    let mut third = gateway.connect().await;
    third.write_all(b"waiting\n").await?;
    assert_eq!(say(&mut first, "still two").await?, "a still two");
    assert_eq!(page.connections(&gateway.addr).await.len(), 2);
    // The page is no client.
    assert_eq!(page.get("/limits/max-connections").await.1["used"], 2);
    assert_eq!(page.get("/stats").await.1["open"], 2);
    drop(second);
    assert_eq!(say(&mut third, "").await?, "a waiting");
    Ok(())
}

#[tokio::test]
async fn bans_hold_on_all_listeners_and_across_reloads() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let to = upstream.local_addr();
    let config = format!(
        "admin = '127.0.0.1:0'\nto = '{to}'\n[[listener]]\nlisten = '127.0.0.1:0'\n\
         proxy-in = 'required'\ntrust = '127.0.0.1'\n[[listener]]\nlisten = '127.0.0.1:0'\n\
         proxy-in = 'required'\ntrust = '127.0.0.1'\n"
    );
    let files = Files::new(&config);
    let (mut gateway, mut events) = started(&files, &[]).await;
    let second = gateway.line().await;
    let second = second.strip_prefix("listening on ").unwrap().to_owned();
    let page = Page::of(&mut gateway).await.header(WRITE);
    let ban = json!({"client": "192.0.2.1", "seconds": 600});
    assert_eq!(page.post("/bans", ban).await / 100, 2);

    for _ in 0..2 {
        for addr in [&gateway.addr, &second] {
            for (client, is_served) in [("192.0.2.1", false), ("192.0.2.2", true)] {
                let mut stream = TcpStream::connect(addr).await?;
                let header = format!("PROXY TCP4 {client} 192.0.2.99 4000 443\r\n");
                stream.write_all(header.as_bytes()).await?;
                assert_eq!(
                    say(&mut stream, "hello").await.is_ok(),
                    is_served,
                    "{client}"
                );
            }
        }
        files.write("gateway.toml", &format!("per-client = 9\n{config}"));
        gateway.signal("HUP").await;
        events.with("reloaded").await;
    }
    // The page shows the limits of both listeners after the reload.
    let (_, limits) = page.get("/limits").await;
    for name in ["127.0.0.1:0 per-client", "127.0.0.1:0 (2) per-client"] {
        let mut limits = limits.as_array().unwrap().iter();
        assert!(
            limits.any(|limit| limit["name"] == name && limit["max"] == 9),
            "{name}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn other_machines_need_a_token() -> Result<(), BoxError> {
    let args = ["--admin", "0.0.0.0:0"];
    for more in [&[][..], &["--check"]] {
        let mut command = command("127.0.0.1:1", &[&args[..], more].concat());
        let output = command.kill_on_drop(true).output();
        let output = in_time(output).await?;
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr)?;
        assert!(
            said.starts_with("error: the admin page at 0.0.0.0:0 can be reached"),
            "{said}"
        );
    }

    let mut two_words = command("127.0.0.1:1", &["--admin", "0.0.0.0:0", "--check"]);
    let output = two_words.env("GATEWAY_ADMIN_TOKEN", "two words").output();
    let said = String::from_utf8(in_time(output).await?.stderr)?;
    assert!(
        said.starts_with("error: invalid GATEWAY_ADMIN_TOKEN: expected letters, digits"),
        "{said}"
    );

    // The option has precedence over the environment.
    let of_option = &mut command(
        "127.0.0.1:1",
        &["--admin", "0.0.0.0:0", "--admin-token", "T"],
    );
    of_option.env("GATEWAY_ADMIN_TOKEN", "other");
    let of_environment = &mut command("127.0.0.1:1", &args);
    for command in [of_option, of_environment.env("GATEWAY_ADMIN_TOKEN", "T")] {
        let mut gateway = Example::start_with("gateway", command.stderr(Stdio::null())).await;
        let mut page = Page::of(&mut gateway).await;
        page.addr = page.addr.replace("0.0.0.0", "127.0.0.1");
        assert_eq!(page.get("/connections").await.0, 401);
        assert_eq!(page.get("/ready").await.0, 200);
        let page = page.header("authorization: Bearer T");
        assert_eq!(page.get("/connections").await.0, 200);
    }
    Ok(())
}

#[tokio::test]
async fn a_token_is_in_no_dump_unless_it_is_in_the_configuration() -> Result<(), BoxError> {
    let dump = async |args: &[&str]| {
        let args = [&["--dump", "--admin", "127.0.0.1:0"], args].concat();
        let mut command = command("127.0.0.1:1", &args);
        let output = command
            .env("GATEWAY_ADMIN_TOKEN", "of-environment")
            .kill_on_drop(true)
            .output();
        let output = in_time(output).await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    };
    let (dumped, said) = dump(&[]).await;
    assert!(
        dumped.contains("admin = ") && !dumped.contains("of-environment"),
        "{dumped}"
    );
    assert_eq!(said, "");
    let (dumped, said) = dump(&["--admin-token", "of-option"]).await;
    assert!(dumped.contains("admin-token = \"of-option\""), "{dumped}");
    assert_eq!(
        said,
        "warning: the dump contains the token of the admin page\n"
    );
    Ok(())
}

#[tokio::test]
async fn a_page_on_a_unix_socket_needs_no_token() -> Result<(), BoxError> {
    let files = Files::new("");
    let path = files.path("admin.sock");
    let mut command = Command::new(binary("gateway"));
    command.args([
        "--listen",
        "127.0.0.1:0",
        "--to",
        "127.0.0.1:1",
        "--admin",
        &path,
    ]);
    let mut gateway = Example::start_with("gateway", command.stderr(Stdio::null())).await;
    let page = Page::of(&mut gateway).await;
    assert_eq!(page.addr, format!("unix:{path}"));
    assert_eq!(page.get("/connections").await.0, 200);
    let (_, listeners) = page.get("/listeners").await;
    assert!(listeners.to_string().contains(&gateway.addr), "{listeners}");
    Ok(())
}

#[tokio::test]
async fn a_gateway_whose_addresses_are_paused_is_not_ready() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let to = upstream.local_addr().to_string();
    let mut gateway = gateway(&to, &["--admin", "127.0.0.1:0"]).await;
    let page = Page::of(&mut gateway).await.header(WRITE);
    let becomes = async |status| {
        while page.get("/ready").await.0 != status {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    in_time(becomes(200)).await;
    let listener = format!("/listeners/{}", gateway.addr);
    assert_eq!(
        page.post(&format!("{listener}/pause"), Value::Null).await / 100,
        2
    );
    in_time(becomes(503)).await;
    assert_eq!(page.get("/live").await.0, 200);
    assert_eq!(
        page.post(&format!("{listener}/resume"), Value::Null).await / 100,
        2
    );
    in_time(becomes(200)).await;
    gateway.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn a_listener_has_its_maximum_at_all_its_addresses_together() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let config = format!(
        "admin = '127.0.0.1:0'\nto = '{}'\n[[listener]]\nlabel = 'one'\n\
         listen = ['127.0.0.1:0', '127.0.0.1:0']\nmax-connections = 1\n",
        upstream.local_addr()
    );
    let files = Files::new(&config);
    let (mut gateway, _events) = started(&files, &[]).await;
    let second = gateway.line().await;
    let second = second.strip_prefix("listening on ").unwrap().to_owned();
    let page = Page::of(&mut gateway).await.header(WRITE);
    let limit = "/limits/one%20max-connections";
    assert_eq!(page.get(limit).await.1["max"], 1);

    let mut served = gateway.connect().await;
    assert_eq!(say(&mut served, "hello").await?, "a hello");
    let mut waiting = TcpStream::connect(&second).await?;
    waiting.write_all(b"waiting\n").await?;
    assert_eq!(say(&mut served, "still alone").await?, "a still alone");
    assert_eq!(upstream.stats().accepted, 1);
    assert_eq!(page.post(limit, json!({"max": 2})).await, 200);
    assert_eq!(say(&mut waiting, "").await?, "a waiting");
    Ok(())
}

#[tokio::test]
async fn silent_clients_do_not_keep_others_from_the_page() -> Result<(), BoxError> {
    let mut gateway = gateway("127.0.0.1:1", &["--admin", "127.0.0.1:0"]).await;
    let page = Page::of(&mut gateway).await;
    let mut silent = Vec::new();
    for _ in 0..24 {
        silent.push(TcpStream::connect(&page.addr).await?);
    }
    assert_eq!(page.get("/stats").await.0, 200);
    // The first one has made room, and the last one is still served.
    assert!(in_time(silent[0].read_u8()).await.is_err());
    let request = "GET /stats HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert_eq!(exchange(silent.remove(23), request).await.0, 200);
    Ok(())
}

#[tokio::test]
async fn an_address_closed_or_paused_on_the_page_is_opened_by_a_reload() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let to = upstream.local_addr().to_string();
    let ports = [Port::new(), Port::new()];
    let [first, second] = ports.each_ref().map(|port| port.addr().to_string());
    let files = Files::new(&format!(
        "admin = '127.0.0.1:0'\nto = '{to}'\nlisten = '{first}'\n"
    ));
    let (of_file, events) = started(&files, &[]).await;
    let args = ["--admin", "127.0.0.1:0", "--listen", &second];
    let of_options = super::gateway_with_events(&to, &args).await;
    for (mut gateway, mut events) in [(of_file, events), of_options] {
        let page = Page::of(&mut gateway).await.header(WRITE);
        let pause = format!("/listeners/{}/pause", gateway.addr);
        assert_eq!(page.post(&pause, Value::Null).await, 200);
        gateway.signal("HUP").await;
        events.with("reloaded").await;
        let mut client = gateway.connect().await;
        assert_eq!(say(&mut client, "hello").await?, "a hello");

        let close = format!("/listeners/{}/close", gateway.addr);
        assert_eq!(page.post(&close, Value::Null).await, 200);
        assert!(TcpStream::connect(&gateway.addr).await.is_err());
        gateway.signal("HUP").await;
        events.with("reloaded").await;
        let line = gateway.line().await;
        let opened = line.strip_prefix("listening on ").expect(&line);
        let mut client = TcpStream::connect(opened).await?;
        assert_eq!(say(&mut client, "hello").await?, "a hello");
        assert_eq!(page.get("/listeners").await.1.as_array().unwrap().len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn the_readiness_follows_the_listeners_at_once() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let to = upstream.local_addr().to_string();
    let pages = ["--metrics", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let mut gateway = gateway(&to, &pages).await;
    let metrics = Page::of(&mut gateway).await;
    let page = Page::of(&mut gateway).await.header(WRITE);
    for (action, expected) in [("pause", 503), ("resume", 200), ("close", 503)] {
        let path = format!("/listeners/{}/{action}", gateway.addr);
        assert_eq!(page.post(&path, Value::Null).await, 200, "{action}");
        assert_eq!(page.get("/ready").await.0, expected, "{action}");
        assert_eq!(metrics.get("/ready").await.0, expected, "{action}");
    }
    gateway.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn silent_clients_that_come_again_and_again_do_not_cut_off_others() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let to = upstream.local_addr().to_string();
    let mut gateway = gateway(&to, &["--admin", "127.0.0.1:0"]).await;
    let page = Page::of(&mut gateway).await;
    let mut flood = JoinSet::new();
    for _ in 0..40 {
        let addr = page.addr.clone();
        flood.spawn(async move {
            loop {
                let mut silent = TcpStream::connect(&addr).await.unwrap();
                let _ = silent.read_u8().await;
            }
        });
    }
    for _ in 0..10 {
        // It panics if the connection is closed without an answer.
        assert_eq!(page.get("/live").await.0, 200);
    }
    Ok(())
}

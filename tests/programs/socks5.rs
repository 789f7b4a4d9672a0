//! `examples/socks5.rs`, with curl and with raw bytes.

use crate::{program::Example, program::binary, support::LONG};
use reagent::{BoxError, Connection, Server, ServerHandle, handle};
use std::{future::Future, io, process::Output};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::timeout,
};

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(LONG, future).await.expect("done in time")
}

async fn proxy(args: &[&str]) -> Example {
    let mut command = Command::new(binary("socks5"));
    command.args(["--listen", "127.0.0.1:0"]).args(args);
    Example::start_with("socks5", &mut command).await
}

/// Starts a server that responds to any request.
async fn web() -> ServerHandle {
    let answer = |mut conn: Connection| async move {
        let _ = conn.read(&mut [0; 4096]).await?;
        conn.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello")
            .await
    };
    Server::bind("127.0.0.1:0")
        .start(handle(answer))
        .await
        .unwrap()
}

/// Runs curl. Prints a message and returns `None` if it is not installed.
async fn curl(args: &[&str]) -> Option<Output> {
    let mut command = Command::new("curl");
    command
        .args(["-sS", "--max-time", "20", "--noproxy", ""])
        .args(args);
    match in_time(command.output()).await {
        Ok(output) => Some(output),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            crate::skipped::skipped("curl is not installed");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn curl_goes_through() -> Result<(), BoxError> {
    let (proxy, web) = (proxy(&[]).await, web().await);
    let url = format!("http://localhost:{}/", web.local_addr().port().unwrap());
    for option in ["--socks5", "--socks5-hostname"] {
        let Some(output) = curl(&[option, &proxy.addr, &url]).await else {
            return Ok(());
        };
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "hello",
            "{output:?}"
        );
    }
    proxy.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn only_clients_with_the_password_are_served() -> Result<(), BoxError> {
    let (proxy, web) = (
        proxy(&["--user", "alice", "--password", "secret"]).await,
        web().await,
    );
    let url = format!("http://{}/", web.local_addr());
    for (login, is_right) in [
        ("alice:secret@", true),
        ("alice:guess@", false),
        ("", false),
    ] {
        let through = format!("{login}{}", proxy.addr);
        let Some(output) = curl(&["--socks5-hostname", &through, &url]).await else {
            return Ok(());
        };
        assert_eq!(output.stdout == b"hello", is_right, "{login}: {output:?}");
    }
    assert_eq!(web.stats().accepted, 1);
    Ok(())
}

/// Sends these bytes, and returns everything received.
async fn exchange(proxy: &Example, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut client = TcpStream::connect(&proxy.addr).await?;
    client.write_all(bytes).await?;
    let mut answer = Vec::new();
    in_time(client.read_to_end(&mut answer)).await?;
    Ok(answer)
}

#[tokio::test]
async fn impossible_requests_are_answered_with_the_codes_of_the_rfc() -> Result<(), BoxError> {
    let proxy = proxy(&[]).await;
    // Bound but not listening, so connections are refused.
    let closed = tokio::net::TcpSocket::new_v4()?;
    closed.bind("127.0.0.1:0".parse()?)?;
    let [high, low] = closed.local_addr()?.port().to_be_bytes();
    let nowhere = [0, 1, 0, 0, 0, 0, 0, 0];

    let refused = exchange(&proxy, &[5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, high, low]).await?;
    assert_eq!(refused, [&[5, 0, 5, 5][..], &nowhere].concat());
    let bind = exchange(&proxy, &[5, 1, 0, 5, 2, 0, 1, 127, 0, 0, 1, high, low]).await?;
    assert_eq!(bind, [&[5, 0, 5, 7][..], &nowhere].concat());
    assert_eq!(
        exchange(&proxy, &[5, 1, 0, 5, 1, 0, 9]).await?,
        [&[5, 0, 5, 8][..], &nowhere].concat()
    );
    // The client offers only a password, which is not configured.
    assert_eq!(exchange(&proxy, &[5, 1, 2]).await?, [5, 0xff]);
    // SOCKS4.
    assert_eq!(exchange(&proxy, &[4]).await?, b"");
    Ok(())
}

//! Upstreams with several addresses, some of which do not answer.

use crate::{
    port::Port,
    program::{Example, binary},
    support::{LONG, echoes, soon},
};
use reagent::{BoxError, Connection, Server, ServerHandle, handle};
use socket2::{Domain, Socket, Type};
use std::{net::TcpStream, process::Stdio, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
};

/// A name whose first address does not answer, because the queue of its listener is full. The
/// server listens at its second address.
struct Name {
    port: Port,
    _server: ServerHandle,
    hosts: TempDir,
    _silent: (Socket, Vec<TcpStream>),
}

impl Name {
    async fn new() -> Result<Self, BoxError> {
        let port = Port::new();
        let server = Server::bind(port.at([127, 0, 0, 2]));
        let server = server.start(handle(echo)).await?;
        let addr = port.addr();
        let silent = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        silent.bind(&addr.into())?;
        silent.listen(0)?;
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(200)) {
            queued.push(stream);
        }
        let hosts = TempDir::new()?;
        let lines = "127.0.0.1 localhost upstream.test\n127.0.0.2 upstream.test\n";
        std::fs::write(hosts.path().join("hosts"), lines)?;
        Ok(Name {
            port,
            _server: server,
            hosts,
            _silent: (silent, queued),
        })
    }

    /// Returns a command that knows the name. It has its own `/etc/hosts`, by a mount namespace.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c"])
            .arg("mount --bind \"$0\" /etc/hosts && exec \"$@\"")
            .arg(self.hosts.path().join("hosts"))
            .arg(program)
            .stderr(Stdio::null());
        command
    }

    async fn is_possible(&self) -> bool {
        let status = self.command("true").status().await;
        let is_possible = status.is_ok_and(|status| status.success());
        if !is_possible {
            crate::skipped::skipped("no mount namespace can be made");
        }
        is_possible
    }
}

async fn echo(conn: Connection) -> std::io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(conn);
    tokio::io::copy(&mut reader, &mut writer).await.map(drop)
}

#[tokio::test]
async fn a_gateway_reaches_a_name_whose_first_address_is_silent() -> Result<(), BoxError> {
    let name = Name::new().await?;
    if !name.is_possible().await {
        return Ok(());
    }
    let mut command = name.command(binary("gateway"));
    let to = format!("upstream.test:{}", name.port.number());
    command.args(["--listen", "127.0.0.1:0", "--to", &to]);
    let gateway = Example::start_with("gateway", &mut command).await;
    for _ in 0..2 {
        let mut client = gateway.connect().await;
        assert!(echoes(&mut client, "hello").await);
    }
    gateway.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn a_socks_proxy_reaches_a_name_whose_first_address_is_silent() -> Result<(), BoxError> {
    let name = Name::new().await?;
    if !name.is_possible().await {
        return Ok(());
    }
    let mut command = name.command(binary("socks5"));
    command.args(["--listen", "127.0.0.1:0"]);
    let proxy = Example::start_with("socks5", &mut command).await;
    let mut client = proxy.connect().await;
    let host = b"upstream.test";
    let mut request = vec![5, 1, 0, 5, 1, 0, 3, 13];
    request.extend(host);
    request.extend(name.port.number().to_be_bytes());
    client.write_all(&request).await?;
    let mut answer = [0; 12];
    soon(client.read_exact(&mut answer)).await?;
    assert_eq!(answer[..4], [5, 0, 5, 0], "no authentication, and success");
    assert!(tokio::time::timeout(LONG, echoes(&mut client, "hello")).await?);
    drop(client);
    proxy.stop("TERM").await;
    Ok(())
}

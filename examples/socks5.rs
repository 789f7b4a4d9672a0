//! A SOCKS5 proxy (RFC 1928) that supports CONNECT, with or without a user name and password (RFC
//! 1929).
//!
//! Run it with `cargo run --example socks5`, and use it with
//! `curl --socks5-hostname 127.0.0.1:1080 http://example.com/`. With
//! `--user NAME --password PASSWORD`, use `curl --socks5-hostname NAME:PASSWORD@127.0.0.1:1080 …`.
//! `--listen ADDR` sets the address.
//!
//! The negotiation is an upgrade, like a TLS handshake: it has the time limit that every upgrade
//! has, and leaves its result in the extensions of the connection.

#[path = "common/mod.rs"]
mod common;

use clap::Parser;
use reagent::{BoxError, Connection, IoStream, Rejected, Server, Upgrade, UpgradeLayer};
use reagent_layers::{
    connect::{Connect, ConnectErrorKind, Target},
    relay::relay,
    timeout::TimeoutsLayer,
};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceExt;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;

/// Reply codes (RFC 1928, section 6).
const SUCCEEDED: u8 = 0;
const FAILURE: u8 = 1;
const NETWORK_UNREACHABLE: u8 = 3;
const HOST_UNREACHABLE: u8 = 4;
const REFUSED: u8 = 5;
const COMMAND_NOT_SUPPORTED: u8 = 7;
const ADDRESS_NOT_SUPPORTED: u8 = 8;

/// Negotiates with the client and reads its destination.
struct Socks5 {
    /// The required user name and password.
    login: Option<(String, String)>,
}

/// The destination requested by the client, stored in the extensions of the connection.
#[derive(Clone, Debug)]
struct Destination(Target);

impl<Io: IoStream> Upgrade<Io> for Socks5 {
    type Io = Io;

    async fn upgrade(&self, mut conn: Connection<Io>) -> Result<Connection<Io>, BoxError> {
        self.authenticate(&mut conn).await?;
        let destination = request(&mut conn).await?;
        conn.label("socks.destination", destination.to_string());
        conn.extensions_mut().insert(Destination(destination));
        Ok(conn)
    }

    fn name(&self) -> &'static str {
        "socks5"
    }
}

impl Socks5 {
    async fn authenticate(&self, conn: &mut (impl IoStream + ?Sized)) -> Result<(), BoxError> {
        expect_version(conn, VERSION).await?;
        let methods = read_short(conn).await?;
        let method = match self.login {
            Some(_) => PASSWORD,
            None => NO_AUTHENTICATION,
        };
        if !methods.contains(&method) {
            conn.write_all(&[VERSION, NO_METHOD]).await?;
            return Err(Rejected::new("no method").into());
        }
        conn.write_all(&[VERSION, method]).await?;
        if let Some((user, password)) = &self.login {
            // The negotiation of RFC 1929 has its own version.
            expect_version(conn, 1).await?;
            let given = (read_short(conn).await?, read_short(conn).await?);
            let is_right = given == (user.clone().into_bytes(), password.clone().into_bytes());
            conn.write_all(&[1, u8::from(!is_right)]).await?;
            if !is_right {
                return Err(Rejected::new("login").into());
            }
        }
        Ok(())
    }
}

async fn request(conn: &mut (impl IoStream + ?Sized)) -> Result<Target, BoxError> {
    expect_version(conn, VERSION).await?;
    let mut head = [0; 3];
    conn.read_exact(&mut head).await?;
    let [command, _reserved, kind] = head;
    let host = match kind {
        1 => {
            let mut ip = [0; 4];
            conn.read_exact(&mut ip).await?;
            Ipv4Addr::from(ip).to_string()
        }
        3 => String::from_utf8(read_short(conn).await?)?,
        4 => {
            let mut ip = [0; 16];
            conn.read_exact(&mut ip).await?;
            Ipv6Addr::from(ip).to_string()
        }
        _ => {
            answer(conn, ADDRESS_NOT_SUPPORTED, None).await?;
            return Err(Rejected::new("kind of address").into());
        }
    };
    let port = conn.read_u16().await?;
    if command != CONNECT {
        answer(conn, COMMAND_NOT_SUPPORTED, None).await?;
        return Err(Rejected::new("command").into());
    }
    match Target::host(&host, port) {
        Ok(destination) => Ok(destination),
        Err(error) => {
            answer(conn, HOST_UNREACHABLE, None).await?;
            Err(error.into())
        }
    }
}

async fn expect_version(conn: &mut (impl IoStream + ?Sized), version: u8) -> io::Result<()> {
    match conn.read_u8().await? {
        given if given == version => Ok(()),
        given => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("unsupported version {given}: expected {version}"),
        )),
    }
}

/// Reads bytes prefixed with a one-byte length.
async fn read_short(conn: &mut (impl IoStream + ?Sized)) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; conn.read_u8().await?.into()];
    conn.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Replies to a request, with the local address of the connection to the destination.
async fn answer(
    conn: &mut (impl IoStream + ?Sized),
    code: u8,
    bound: Option<SocketAddr>,
) -> io::Result<()> {
    let bound = bound.unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into());
    let mut bytes = vec![VERSION, code, 0];
    match bound {
        SocketAddr::V4(addr) => {
            bytes.push(1);
            bytes.extend(addr.ip().octets());
        }
        SocketAddr::V6(addr) => {
            bytes.push(4);
            bytes.extend(addr.ip().octets());
        }
    }
    bytes.extend(bound.port().to_be_bytes());
    conn.write_all(&bytes).await
}

/// Connects to the destination, replies, and relays bytes.
async fn serve(connect: Connect, mut conn: Connection) -> Result<(), BoxError> {
    let destination = conn.extensions().get::<Destination>().cloned();
    let Destination(to) = destination.ok_or("the upgrade is missing in the stack")?;
    match connect.oneshot(to).await {
        Ok(upstream) => {
            let bound = upstream.local_addr().ok();
            answer(
                &mut conn,
                SUCCEEDED,
                bound.and_then(|addr| addr.socket_addr()),
            )
            .await?;
            relay(conn, upstream).await?;
            Ok(())
        }
        Err(error) => {
            let code = match (error.kind(), error.io_kind()) {
                (ConnectErrorKind::Resolve, _) => HOST_UNREACHABLE,
                (_, io::ErrorKind::ConnectionRefused) => REFUSED,
                (_, io::ErrorKind::NetworkUnreachable) => NETWORK_UNREACHABLE,
                (_, io::ErrorKind::HostUnreachable | io::ErrorKind::TimedOut) => HOST_UNREACHABLE,
                _ => FAILURE,
            };
            answer(&mut conn, code, None).await?;
            conn.shutdown().await?;
            Err(error.into())
        }
    }
}

/// A SOCKS5 proxy
#[derive(Parser)]
struct Options {
    /// Address to listen on: HOST:PORT or unix:PATH
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:1080")]
    listen: String,
    /// User name that clients must give; without it, all clients are served
    #[arg(long, value_name = "NAME", requires = "password")]
    user: Option<String>,
    /// Password that clients must give
    #[arg(long, value_name = "PASSWORD", requires = "user")]
    password: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let options = Options::parse();
    let login = options.user.zip(options.password);
    let signal = common::signal()?;
    // Within 10 s.
    let connect = Connect::new();
    let server = Server::bind(options.listen)
        .options(common::keepalive)
        .max_connections(10_000)
        .layer(UpgradeLayer::new(Socks5 { login }))
        .layer(TimeoutsLayer::new().first_byte(None))
        .start(reagent::handle(move |conn| serve(connect.clone(), conn)))
        .await?;
    common::print(format_args!("listening on {}", server.local_addr()));

    common::drain_on(&server, signal, Duration::from_secs(10)).await?;
    Ok(())
}

//! PROXY headers from a real HAProxy and to one.

use super::{gateway, in_time, say, upstream};
use reagent::BoxError;
use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    process::Stdio,
};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

/// A HAProxy from one address to another, killed on drop.
pub struct Haproxy {
    pub addr: SocketAddr,
    _process: Child,
    _dir: tempfile::TempDir,
}

impl Haproxy {
    /// Starts HAProxy, or prints a message and returns `None` if it is not installed. It inherits a
    /// listening socket as its standard input, so no port has to be guessed and clients need not
    /// wait for its start.
    pub fn start(bind: &str, server: &str, pem: Option<&str>) -> Option<Haproxy> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("haproxy.cfg");
        let cert = dir.path().join("cert.pem");
        std::fs::write(&cert, pem.unwrap_or_default()).unwrap();
        let bind = bind.replace("CERT", cert.to_str().unwrap());
        let lines = format!(
            "global\n maxconn 20\n\
             defaults\n mode tcp\n timeout connect 20s\n timeout client 20s\n timeout server 20s\n\
             listen test\n bind fd@0 {bind}\n server app {server}\n"
        );
        std::fs::write(&file, lines).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        let process = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(&file)
            .stdin(Stdio::from(OwnedFd::from(socket)))
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        match process {
            Ok(process) => Some(Haproxy {
                addr,
                _process: process,
                _dir: dir,
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                crate::skipped::skipped("haproxy is not installed");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }
}

const TRUST: [&str; 4] = ["--proxy-in", "required", "--trust", "127.0.0.0/8"];

#[tokio::test]
async fn a_haproxy_in_front_names_the_client() -> Result<(), BoxError> {
    let upstream = upstream().await;
    for (header, out) in [
        ("send-proxy", "v1"),
        ("send-proxy-v2", "v1"),
        ("send-proxy", "v2"),
        ("send-proxy-v2", "v2"),
    ] {
        let args = [&TRUST[..], &["--proxy-out", out]].concat();
        let gateway = gateway(&upstream.local_addr().to_string(), &args).await;
        let Some(front) = Haproxy::start("", &format!("{} {header}", gateway.addr), None) else {
            return Ok(());
        };
        let mut client = TcpStream::connect(front.addr).await?;
        let us = client.local_addr()?;
        assert_eq!(
            say(&mut client, "hello").await?,
            format!("<{out} {us} tls=- alpn=- name=-> hello")
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_haproxy_that_ends_tls_names_the_client() -> Result<(), BoxError> {
    let upstream = upstream().await;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let pem = made.cert.pem() + &made.signing_key.serialize_pem();
    let args = [&TRUST[..], &["--proxy-out", "v2"]].concat();
    let gateway = gateway(&upstream.local_addr().to_string(), &args).await;
    let server = format!("{} send-proxy-v2-ssl", gateway.addr);
    let Some(front) = Haproxy::start("ssl crt CERT", &server, Some(&pem)) else {
        return Ok(());
    };
    let Some(said) = super::tls::s_client(front.addr, &["-tls1_3"], "hello\n").await else {
        return Ok(());
    };
    // The gateway did not do the handshake, so it does not claim TLS on the word of others.
    assert!(said.contains("<v2 127.0.0.1:"), "{said}");
    assert!(said.contains(" tls=- alpn=- name=-> hello"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_haproxy_behind_understands_the_header() -> Result<(), BoxError> {
    let upstream = upstream().await;
    for out in ["v1", "v2"] {
        let server = format!("{} send-proxy", upstream.local_addr());
        let Some(behind) = Haproxy::start("accept-proxy", &server, None) else {
            return Ok(());
        };
        let gateway = gateway(&behind.addr.to_string(), &["--proxy-out", out]).await;
        let mut client = gateway.connect().await;
        let us = client.local_addr()?;
        assert_eq!(
            in_time(say(&mut client, "hello")).await?,
            format!("<v1 {us} tls=- alpn=- name=-> hello")
        );
    }
    Ok(())
}

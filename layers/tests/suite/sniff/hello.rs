//! ClientHello messages of rustls, and handmade ones.

use reagent_layers::tls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    version::{TLS12, TLS13},
};
use std::sync::Arc;

/// Returns the first bytes of a rustls client with this server name and these protocols.
pub fn of_rustls(name: &str, alpn: &[&str], version: &'static SupportedProtocolVersion) -> Vec<u8> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = name.to_owned().try_into().unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

pub const EACH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

pub fn with_len<const N: usize>(bytes: &[u8]) -> Vec<u8> {
    [&bytes.len().to_be_bytes()[8 - N..], bytes].concat()
}

pub fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &with_len::<2>(data)].concat()
}

pub fn names(names: &[&str]) -> Vec<u8> {
    let list: Vec<_> = names
        .iter()
        .flat_map(|name| [&[0][..], &with_len::<2>(name.as_bytes())].concat())
        .collect();
    extension(0, &with_len::<2>(&list))
}

pub fn alpn(names: &[&str]) -> Vec<u8> {
    let list: Vec<_> = names
        .iter()
        .flat_map(|name| with_len::<1>(name.as_bytes()))
        .collect();
    extension(16, &with_len::<2>(&list))
}

/// Returns everything before the length of the extensions.
pub fn head() -> Vec<u8> {
    [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 1], &[1, 0]].concat()
}

/// Returns a message with these extensions.
pub fn message(extensions: &[u8]) -> Vec<u8> {
    of_body(&[head(), with_len::<2>(extensions)].concat())
}

pub fn of_body(body: &[u8]) -> Vec<u8> {
    [&[1][..], &with_len::<3>(body)].concat()
}

/// Splits a message into records with at most `size` bytes of it each.
pub fn records(message: &[u8], size: usize) -> Vec<u8> {
    message
        .chunks(size)
        .flat_map(|piece| [&[22, 3, 1][..], &with_len::<2>(piece)].concat())
        .collect()
}

/// Returns the message in a single record, as is usual.
pub fn hello(extensions: &[u8]) -> Vec<u8> {
    records(&message(extensions), 1 << 14)
}

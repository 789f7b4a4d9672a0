//! Compares the CPU time that a server of TLS spends with ring and with aws-lc-rs.
//!
//! Client and server are in one thread and exchange bytes in memory. Only the calls of the server are
//! timed, so the client's part does not count. The two providers take turns, and the fastest of the
//! rounds counts.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use rustix::time::{ClockId, clock_gettime};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig,
    ServerConnection,
    crypto::{CryptoProvider, aws_lc_rs, ring},
    pki_types::{CertificateDer, PrivateKeyDer},
    server::ProducesTickets,
};
use std::{
    io::{Read, Write},
    sync::Arc,
    time::Duration,
};

const ROUNDS: u32 = 15;
const HANDSHAKES: u32 = 100;
const RECORDS: u32 = 2000;
const RECORD: usize = 16 * 1024;

/// The CPU time of this thread.
fn now() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

struct Provider {
    provider: CryptoProvider,
    ticketer: fn() -> Result<Arc<dyn ProducesTickets>, rustls::Error>,
}

fn providers() -> [Provider; 2] {
    [
        Provider {
            provider: ring::default_provider(),
            ticketer: ring::Ticketer::new,
        },
        Provider {
            provider: aws_lc_rs::default_provider(),
            ticketer: aws_lc_rs::Ticketer::new,
        },
    ]
}

impl Provider {
    /// Returns the provider with one key exchange and one cipher suite, or `None` if it lacks one.
    fn only(&self, group: &str, suite: CipherSuite) -> Option<Arc<CryptoProvider>> {
        let mut provider = self.provider.clone();
        let groups = &mut provider.kx_groups;
        groups.retain(|known| format!("{:?}", known.name()) == group);
        let suites = &mut provider.cipher_suites;
        suites.retain(|known| known.suite() == suite);
        (!provider.kx_groups.is_empty() && !provider.cipher_suites.is_empty())
            .then(|| Arc::new(provider))
    }
}

struct Identity {
    cert: CertificateDer<'static>,
    key: KeyPair,
}

impl Identity {
    fn new(key: KeyPair) -> Self {
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let cert = params.self_signed(&key).unwrap().der().clone();
        Identity { cert, key }
    }
}

/// A client and a server that agree on everything.
struct Pair {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Pair {
    fn new(by: &Provider, identity: &Identity, group: &str, suite: CipherSuite) -> Option<Self> {
        let provider = by.only(group, suite)?;
        let key = PrivateKeyDer::Pkcs8(identity.key.serialize_der().into());
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![identity.cert.clone()], key)
            .unwrap();
        server.ticketer = (by.ticketer)().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(identity.cert.clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Some(Pair {
            client: Arc::new(client),
            server: Arc::new(server),
        })
    }

    /// Performs a handshake, and returns the time that the server took.
    fn shake(&self, resume: bool) -> (ClientConnection, ServerConnection, Duration) {
        let mut client = self.client.clone();
        if !resume {
            let mut fresh = ClientConfig::clone(&client);
            fresh.resumption = rustls::client::Resumption::disabled();
            client = Arc::new(fresh);
        }
        let name = "localhost".try_into().unwrap();
        let mut client = ClientConnection::new(client, name).unwrap();
        let began = now();
        let mut server = ServerConnection::new(self.server.clone()).unwrap();
        let mut took = now() - began;
        while client.is_handshaking() || server.is_handshaking() || server.wants_write() {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            let began = now();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                server.read_tls(&mut rest).unwrap();
                server.process_new_packets().unwrap();
            }
            bytes = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut bytes).unwrap();
            }
            took += now() - began;
            give(&mut client, &bytes);
        }
        (client, server, took)
    }

    fn handshakes(&self, resumed: bool) -> Duration {
        // The client stores the ticket of this one.
        self.shake(resumed);
        let mut sum = Duration::ZERO;
        for _ in 0..HANDSHAKES {
            let (client, _, took) = self.shake(resumed);
            let is_resumed = client.handshake_kind() == Some(HandshakeKind::Resumed);
            assert_eq!(is_resumed, resumed);
            sum += took;
        }
        sum / HANDSHAKES
    }

    fn records(&self) -> Duration {
        let (mut client, mut server, _) = self.shake(false);
        let plain = vec![7; RECORD];
        let mut received = vec![0; RECORD];
        let mut sum = Duration::ZERO;
        for _ in 0..RECORDS {
            let mut bytes = Vec::with_capacity(2 * RECORD);
            let began = now();
            server.writer().write_all(&plain).unwrap();
            while server.wants_write() {
                server.write_tls(&mut bytes).unwrap();
            }
            sum += now() - began;
            give(&mut client, &bytes);
            client.reader().read_exact(&mut received).unwrap();
            bytes.clear();
            client.writer().write_all(&plain).unwrap();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            let began = now();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                server.read_tls(&mut rest).unwrap();
                server.process_new_packets().unwrap();
            }
            server.reader().read_exact(&mut received).unwrap();
            sum += now() - began;
        }
        sum / (2 * RECORDS)
    }
}

fn give(client: &mut ClientConnection, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets().unwrap();
    }
}

/// Prints a row of the table: the fastest round of each provider, and their ratio.
fn row(what: &str, pairs: &[Option<Pair>; 2], measure: impl Fn(&Pair) -> Duration) {
    let mut best = [None; 2];
    for _ in 0..ROUNDS {
        for (pair, best) in pairs.iter().zip(&mut best) {
            if let Some(pair) = pair {
                let took = measure(pair);
                *best = Some(best.map_or(took, |best: Duration| best.min(took)));
            }
        }
    }
    let micros = |took: Option<Duration>| match took {
        Some(took) => format!("{:.1} µs", took.as_secs_f64() * 1e6),
        None => "–".to_owned(),
    };
    let ratio = match best {
        [Some(ring), Some(aws)] => format!("{:.2}", aws.as_secs_f64() / ring.as_secs_f64()),
        _ => "–".to_owned(),
    };
    println!(
        "| {what} | {} | {} | {ratio} |",
        micros(best[0]),
        micros(best[1])
    );
}

fn main() {
    const AES: CipherSuite = CipherSuite::TLS13_AES_128_GCM_SHA256;
    let providers = providers();
    let ecdsa = Identity::new(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap());
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let rsa = Identity::new(rsa);
    let pairs = |identity: &Identity, group: &str, suite| {
        providers
            .each_ref()
            .map(|provider| Pair::new(provider, identity, group, suite))
    };
    println!("| TLS 1.3, server | ring | aws-lc-rs | ratio |");
    println!("|---|---|---|---|");
    for (key, identity) in [("ECDSA P-256", &ecdsa), ("RSA 2048", &rsa)] {
        for group in ["X25519", "X25519MLKEM768"] {
            let what = format!("handshake, {key}, {group}");
            row(&what, &pairs(identity, group, AES), |pair| {
                pair.handshakes(false)
            });
        }
    }
    for group in ["X25519", "X25519MLKEM768"] {
        let what = format!("resumed handshake, {group}");
        row(&what, &pairs(&ecdsa, group, AES), |pair| {
            pair.handshakes(true)
        });
    }
    for (name, suite) in [
        ("AES-128-GCM", AES),
        ("AES-256-GCM", CipherSuite::TLS13_AES_256_GCM_SHA384),
        (
            "ChaCha20-Poly1305",
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        ),
    ] {
        let what = format!("16 KiB record, {name}");
        row(&what, &pairs(&ecdsa, "X25519", suite), Pair::records);
    }
}

//! The options of a listener, and its routes.

use super::{Balance, HealthCheck, Plaintext, StartTls, path};
use crate::values::{
    Count, Fingerprint, ListenAddr, Seconds, TimeLimit, Tried, WeightedTarget, join, list,
};
use clap::{Args, ValueEnum};
use reagent_layers::{Apply, Network, tls::PeerPattern};
use serde::{Deserialize, Serialize};
use std::{
    fmt, iter,
    path::{Path, PathBuf},
};

/// Addresses, and the stack of layers behind them.
#[derive(Args, Clone, Debug, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Listener {
    /// The name of the listener, which is the same after a reload.
    #[arg(skip)]
    pub label: String,
    /// Address to listen on: HOST:PORT or the path of a Unix socket; may be repeated
    #[arg(long, value_name = "ADDR")]
    #[serde(with = "list")]
    pub listen: Vec<ListenAddr>,
    /// Address of an upstream: HOST:PORT or the path of a Unix socket; may be repeated. Upstreams of
    /// weight 0 serve if no other can
    #[arg(long, value_name = "ADDR[=WEIGHT]")]
    #[serde(with = "list")]
    pub to: Vec<WeightedTarget>,
    /// Connect to upstreams with TLS
    #[arg(long)]
    pub to_tls: bool,
    /// Certificate authorities for upstreams, in PEM [default: those of the system]
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub to_ca: Option<PathBuf>,
    /// Certificate revocation lists for upstreams, in PEM
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub to_crl: Option<PathBuf>,
    /// Name that the certificates of upstreams must be valid for [default: the host of `--to`]
    #[arg(long, value_name = "NAME")]
    pub to_name: Option<String>,
    /// How one of several upstreams is chosen
    #[arg(long, value_name = "BALANCE", default_value = "p2c")]
    pub balance: Balance,
    /// Resolve the names in `--to` again after this time in seconds, and use each of their addresses
    /// as an upstream [default: a name is one upstream, which is resolved for each connection]
    #[arg(long, value_name = "SECONDS")]
    pub to_each: Option<TimeLimit>,
    /// Maximum number of open connections per upstream; further clients wait for up to 9 seconds
    /// [default: unlimited]
    #[arg(long, value_name = "N")]
    pub per_upstream: Option<Count>,
    /// How upstreams are checked: tcp, tls or http:PATH [default: they are not]
    #[arg(long, value_name = "CHECK")]
    pub health_check: Option<HealthCheck>,
    /// Certificate chain for TLS, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key", value_parser = path())]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_parser = path())]
    pub tls_key: Option<PathBuf>,
    /// OCSP response that is stapled to the certificate, in DER
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_parser = path())]
    pub tls_ocsp: Option<PathBuf>,
    /// Key of session tickets that is shared with other gateways: 80 or 48 random bytes; may be
    /// repeated. The first one encrypts, and the others decrypt [default: random keys]
    #[arg(long, value_name = "FILE", value_parser = path())]
    #[serde(with = "list::paths")]
    pub tls_ticket_keys: Vec<PathBuf>,
    /// Name of clients to admit, of which the certificate must have one: dns:HOST, uri:URI,
    /// email:ADDRESS, ip:ADDRESS or cn:NAME; may be repeated [default: all that `--client-ca` has
    /// certified]
    #[arg(long, value_name = "NAME")]
    #[serde(with = "list::some", skip_serializing_if = "Vec::is_empty")]
    pub tls_admit: Vec<PeerPattern>,
    /// Name for which to obtain a certificate by ACME; may be repeated. Each has a certificate of its
    /// own
    #[arg(long, value_name = "NAME")]
    #[serde(with = "list")]
    pub acme_domain: Vec<String>,
    /// Certificate authorities for clients, in PEM; clients without a certificate are refused
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub client_ca: Option<PathBuf>,
    /// Certificate revocation lists for clients, in PEM
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub client_crl: Option<PathBuf>,
    /// ALPN protocols in order of preference, separated by commas
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    #[serde(with = "list")]
    pub alpn: Vec<String>,
    /// Protocol in which clients ask for TLS; without it, they begin with TLS
    #[arg(long, value_name = "PROTOCOL")]
    pub starttls: Option<StartTls>,
    /// What happens to clients that do not ask for TLS [default: refuse]
    #[arg(long, value_name = "ACTION")]
    pub starttls_plaintext: Option<Plaintext>,
    /// Whether proxies in front of the gateway send a PROXY header
    #[arg(long, value_name = "MODE", default_value = "off")]
    pub proxy_in: ProxyIn,
    /// Networks of trusted proxies, separated by commas; other clients are refused
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    #[serde(with = "list")]
    pub trust: Vec<Network>,
    /// Version of the PROXY header sent to the upstream [default: no header]
    #[arg(long, value_name = "VERSION")]
    pub proxy_out: Option<ProxyOut>,
    /// Maximum number of open connections of this listener, at all its addresses together.
    #[arg(skip)]
    pub max_connections: Option<Count>,
    /// Maximum number of open connections per IPv4 address or IPv6 /64 [default: unlimited]
    #[arg(long, value_name = "N")]
    pub per_client: Option<Count>,
    /// Maximum number of connections accepted per second [default: unlimited]
    #[arg(long, value_name = "N")]
    pub accept_rate: Option<Count>,
    /// Maximum bandwidth of a connection in each direction, in bytes per second [default:
    /// unlimited]
    #[arg(long, value_name = "BYTES/S")]
    pub bandwidth: Option<Count>,
    /// Time limit for the first byte of a client, in seconds [default: the idle timeout]
    #[arg(long, value_name = "SECONDS")]
    pub first_byte_timeout: Option<TimeLimit>,
    /// Idle timeout in seconds, after which both sides are reset; 0 disables it
    #[arg(long, value_name = "SECONDS", default_value = "600")]
    pub idle_timeout: Seconds,
    /// Maximum age of a connection in seconds. An older connection is closed once neither side has
    /// sent anything for a second [default: unlimited]
    #[arg(long, value_name = "SECONDS")]
    pub max_age: Option<TimeLimit>,
    /// Additional time for a busy connection of that age, in seconds. After that both sides are
    /// reset, and data in transit is lost
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    pub max_age_grace: Seconds,
    /// Networks to admit, separated by commas; all others are refused
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    #[serde(with = "list::some", skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Network>,
    /// Networks to refuse, separated by commas
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    #[serde(with = "list")]
    pub deny: Vec<Network>,
    /// JA4 fingerprint of TLS clients to refuse; may be repeated. Many clients may share it
    #[arg(long, value_name = "FINGERPRINT")]
    #[serde(with = "list")]
    pub deny_ja4: Vec<Fingerprint>,
    /// Which connections changes of `allow`, `deny`, `deny-ja4`, bans, `tls-admit`, `client-ca` and
    /// `client-crl` apply to.
    /// With `existing`, open connections that are no longer admitted are ended
    #[arg(long, value_name = "CONNECTIONS", default_value = "new")]
    pub apply_to: ApplyTo,
    /// Options to try, separated by commas, or all of them: what they would refuse, delay or end is
    /// reported, and goes on
    #[arg(
        long,
        value_name = "OPTION",
        value_delimiter = ',',
        num_args = 0..=1,
        default_missing_value = "all"
    )]
    #[serde(with = "list")]
    pub dry_run: Vec<Tried>,
    /// Upstreams for some of the TLS clients. The first route that matches a client is used, and
    /// the options above for clients that match none.
    #[arg(skip)]
    pub route: Vec<Route>,
    /// The line of the table in the file.
    #[arg(skip)]
    #[serde(skip)]
    pub line: Option<usize>,
}

/// An upstream for TLS clients by what they ask for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Route {
    /// Server names, such as `example.org` and `*.example.org`; without any, all clients match.
    #[serde(default, with = "list::some", skip_serializing_if = "Vec::is_empty")]
    pub sni: Vec<String>,
    /// ALPN protocols, one of which the client must offer; without any, all clients match.
    #[serde(default, with = "list::some", skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<String>,
    /// The addresses of the upstreams.
    #[serde(with = "list::some")]
    pub to: Vec<WeightedTarget>,
    /// What happens to TLS. The default is to terminate it where there is a certificate.
    pub tls: Option<RouteTls>,
    /// Certificate chain and private key, if they are not those of the listener.
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    /// The OCSP response of that certificate.
    pub tls_ocsp: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ApplyTo {
    New,
    Existing,
}

impl From<ApplyTo> for Apply {
    fn from(to: ApplyTo) -> Self {
        match to {
            ApplyTo::New => Apply::New,
            ApplyTo::Existing => Apply::Existing,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyIn {
    Off,
    Optional,
    Required,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyOut {
    V1,
    V2,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteTls {
    /// TLS ends here.
    Terminate,
    /// The upstream receives the client's bytes as they are.
    PassThrough,
}

impl Route {
    pub const KEYS: [&str; 7] = [
        "sni", "alpn", "to", "tls", "tls-cert", "tls-key", "tls-ocsp",
    ];

    /// Returns whether it matches all TLS clients.
    pub fn matches_all(&self) -> bool {
        self.sni.is_empty() && self.alpn.is_empty()
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = [join("for ", &self.sni), join("offering ", &self.alpn)];
        let what = what.iter().filter(|what| !what.is_empty());
        let how = match self.tls {
            Some(RouteTls::PassThrough) => "passed through",
            _ => "terminated",
        };
        write!(
            f,
            "TLS clients{}, {how}:",
            what.map(|what| format!(" {what}")).collect::<String>()
        )
    }
}

impl Listener {
    /// The keys of a file that are no options.
    pub const KEYS: [&str; 3] = ["label", "max-connections", "route"];

    /// Labels the listener with its first address, unless it has a label. `is_taken` says whether
    /// another listener has a label already.
    pub fn set_label(&mut self, is_taken: impl Fn(&str) -> bool) {
        if self.label.is_empty() {
            let first = self.listen.first().map(ToString::to_string);
            let first = first.unwrap_or_default();
            let others = (2..).map(|number| format!("{first} ({number})"));
            let mut labels = iter::once(first.clone()).chain(others);
            self.label = labels.find(|label| !is_taken(label)).unwrap_or(first);
        }
    }

    /// Returns whether this option is only tried.
    pub fn tries(&self, option: &str) -> bool {
        self.dry_run.iter().any(|tried| tried.covers(option))
    }

    /// Fills in what follows from other options. `folder` is that of the configuration file.
    pub fn complete(&mut self, folder: &Path) {
        let files = [
            &mut self.tls_cert,
            &mut self.tls_key,
            &mut self.tls_ocsp,
            &mut self.client_ca,
            &mut self.client_crl,
            &mut self.to_ca,
            &mut self.to_crl,
        ];
        let of_routes = self.route.iter_mut();
        let of_routes = of_routes
            .flat_map(|route| [&mut route.tls_cert, &mut route.tls_key, &mut route.tls_ocsp]);
        for file in files.into_iter().chain(of_routes).flatten() {
            *file = folder.join(&file);
        }
        for file in &mut self.tls_ticket_keys {
            *file = folder.join(&file);
        }
        let has_certificate = self.has_certificate();
        for route in &mut self.route {
            let tls = match has_certificate || route.tls_cert.is_some() {
                true => RouteTls::Terminate,
                false => RouteTls::PassThrough,
            };
            route.tls.get_or_insert(tls);
        }
    }
}

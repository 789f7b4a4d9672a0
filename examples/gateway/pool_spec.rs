//! How the upstreams of a listener are reached, chosen and checked.

use crate::{
    header,
    options::{Balance, HealthCheck, Listener, ProxyOut, Route, RouteTls},
    upstream::CONNECTOR,
    values::{Count, WeightedTarget, join},
};
use reagent::BoxError;
use reagent_layers::{
    connect::{Connect, TlsClient},
    upstream::Check,
};
use std::{path::PathBuf, time::Duration};

/// The time limit for one attempt.
pub const ATTEMPT: Duration = Duration::from_secs(3);

/// The upstreams of a set, which can change while it keeps what is known of them.
#[derive(Clone, Debug)]
pub struct List {
    pub to: Vec<WeightedTarget>,
    /// The maximum number of connections of each.
    pub max: Option<Count>,
}

impl List {
    pub fn new(listener: &Listener, to: &[WeightedTarget]) -> Self {
        List {
            to: to.to_vec(),
            max: listener.per_upstream,
        }
    }
}

/// What a set is made from. It is kept by a reload that changes none of this.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    pub balance: Balance,
    pub check: Option<HealthCheck>,
    pub tls: Option<UpstreamTls>,
    /// Whether clients bring TLS of their own, so that only checks need it.
    pub is_passed_through: bool,
    pub proxy_out: Option<ProxyOut>,
    /// After what time names are resolved again, if each of their addresses is an upstream.
    pub each: Option<Duration>,
}

/// The options of TLS to upstreams.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamTls {
    pub ca: Option<PathBuf>,
    pub crl: Option<PathBuf>,
    pub name: Option<String>,
}

impl Spec {
    pub fn of(listener: &Listener, route: Option<&Route>) -> Self {
        let tls = route.and_then(|route| route.tls);
        Spec {
            balance: listener.balance,
            check: listener.health_check.clone(),
            tls: listener.to_tls.then(|| UpstreamTls {
                ca: listener.to_ca.clone(),
                crl: listener.to_crl.clone(),
                name: listener.to_name.clone(),
            }),
            is_passed_through: tls == Some(RouteTls::PassThrough),
            proxy_out: listener.proxy_out,
            each: listener.to_each.map(|limit| limit.0),
        }
    }

    /// Returns whether a single address needs nothing of a set.
    pub fn is_plain(&self, list: &List) -> bool {
        let is_one = list.to.len() == 1 && list.max.is_none();
        let is_plain = self.tls.is_none() || self.is_passed_through;
        is_one && is_plain && self.check.is_none() && self.each.is_none()
    }

    /// Describes the upstreams, as they are printed.
    pub fn line(&self, List { to, max }: &List) -> String {
        let mut line = join("to ", to);
        if let Some(max) = max {
            line += &format!(", at most {max} connections each");
        }
        if let Some(each) = self.each {
            line += &format!(", each of their addresses (resolved every {each:?})");
        }
        if to.len() > 1 || self.each.is_some() {
            line += match self.balance {
                Balance::P2c => ", by open connections",
                Balance::Hash => ", by client address",
            };
        }
        if let (Some(tls), false) = (&self.tls, self.is_passed_through) {
            line += ", with TLS";
            if let Some(ca) = &tls.ca {
                line += &format!(" certified by {}", ca.display());
            }
            if let Some(name) = &tls.name {
                line += &format!(" for {name}");
            }
            if let Some(crl) = &tls.crl {
                line += &format!(", unless revoked by {}", crl.display());
            }
        }
        if let Some(check) = &self.check {
            line += &format!(", checked by {check}");
        }
        line
    }

    /// Returns the connectors of clients and of checks.
    pub fn connectors(&self) -> Result<Connectors, BoxError> {
        let plain = CONNECTOR.clone().timeout(ATTEMPT).attempt_timeout(ATTEMPT);
        let with_tls = match &self.tls {
            None => plain.clone(),
            Some(tls) => {
                let mut client = TlsClient::builder();
                if let Some(ca) = &tls.ca {
                    client = client.authorities(ca);
                }
                if let Some(crl) = &tls.crl {
                    client = client.crls(crl);
                }
                if let Some(name) = &tls.name {
                    client = client.server_name(name);
                }
                plain.clone().tls(client.build()?)
            }
        };
        let checks = match self.check {
            Some(HealthCheck::Tcp) => plain.clone(),
            _ => with_tls.clone(),
        };
        let clients = match self.is_passed_through {
            true => plain,
            false => with_tls,
        };
        Ok(Connectors { clients, checks })
    }

    pub fn check(&self) -> Option<Check> {
        Some(match self.check.as_ref()? {
            HealthCheck::Tcp | HealthCheck::Tls => Check::connect(),
            HealthCheck::Http(path) => {
                let name = self.tls.as_ref().and_then(|tls| tls.name.as_deref());
                Check::http(name.unwrap_or("localhost"), path)
            }
        })
    }

    /// Returns what a connection of a check begins with.
    pub fn check_preface(&self) -> Result<Vec<u8>, BoxError> {
        Ok(match self.proxy_out {
            Some(version) => header::of_check(version)?,
            None => Vec::new(),
        })
    }
}

/// The connectors of clients and of checks.
#[derive(Clone)]
pub struct Connectors {
    pub clients: Connect,
    pub checks: Connect,
}

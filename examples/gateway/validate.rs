//! Whether the options of a configuration agree with one another.

use crate::{
    addresses::{ADMIN, METRICS},
    config::Config,
    options::{HealthCheck, Listener, ProxyIn, Route, RouteTls},
    values::Place,
};
use reagent::BoxError;
use reagent_layers::route::server_name;
use std::{collections::HashSet, iter};

/// More threads than any machine has cores.
const MOST_THREADS: u64 = 4096;

/// The labels of listeners that have no `[[listener]]` table.
const RESERVED: [&str; 2] = [ADMIN, METRICS];

impl Config {
    /// Checks everything that can be known without the system.
    pub fn validate(&self) -> Result<(), BoxError> {
        if self.listeners.is_empty() {
            return Err(self.error(None, "expected `listen` or a [[listener]] table"));
        }
        let mut labels = HashSet::new();
        for listener in &self.listeners {
            let error = |problem: &str| self.error(Some(listener), problem);
            check(listener).map_err(|problem| error(&problem))?;
            let label = &*listener.label;
            if RESERVED.contains(&label) {
                return Err(error(&format!("the label \"{label}\" is reserved")));
            }
            if !labels.insert(label) {
                return Err(error(&format!("the label \"{label}\" is used twice")));
            }
        }
        let mut texts = HashSet::new();
        for address in self.addresses().iter().chain(&self.page_addresses()) {
            let text = address.addr.to_string();
            if !matches!(address.addr.place, Place::Tcp(_, 0)) && !texts.insert(text.clone()) {
                return Err(self.error(None, &format!("the address {text} is listed twice")));
            }
        }
        let pages = &self.global.pages;
        if pages.admin_token.is_some() && pages.admin.is_none() {
            return Err(self.error(None, "`admin-token` requires `admin`"));
        }
        if let Some(problem) = self.global.abuse.problem() {
            return Err(self.error(None, problem));
        }
        let mut listeners = self.listeners.iter();
        let has_domains = listeners.any(|listener| !listener.acme_domain.is_empty());
        let acme = self.global.acme.check(has_domains);
        acme.map_err(|problem| self.error(None, problem))?;
        let cluster = self.global.cluster.check();
        cluster.map_err(|problem| self.error(None, problem))?;
        match self.global.server.threads {
            Some(threads) if threads.get() > MOST_THREADS => {
                let problem = format!("`threads` is {threads}; expected at most {MOST_THREADS}");
                Err(self.error(None, &problem))
            }
            _ => Ok(()),
        }
    }

    /// Describes a problem and its place. Problems name options as keys of a file.
    fn error(&self, listener: Option<&Listener>, problem: &str) -> BoxError {
        let Some(file) = &self.file else {
            let words = problem
                .split('`')
                .enumerate()
                .map(|(index, word)| match index % 2 {
                    0 => word.to_owned(),
                    _ => format!("--{word}"),
                });
            return words.collect::<String>().into();
        };
        let file = file.display();
        match listener.map(|listener| (&*listener.label, listener.line)) {
            Some(("", Some(line))) => format!("{file}, line {line}: {problem}").into(),
            Some((label, Some(line))) => {
                format!("{file}, line {line}: listener \"{label}\": {problem}").into()
            }
            _ => format!("{file}: {problem}").into(),
        }
    }
}

const PROTOCOL: &str = "invalid protocol in `alpn`: expected names of 1 to 255 bytes";

/// Returns whether ALPN can carry this name.
fn is_protocol(name: &str) -> bool {
    (1..=255).contains(&name.len())
}

fn check_upstreams(listener: &Listener) -> Result<(), String> {
    let fail = |problem: &str| Err(problem.to_owned());
    if !listener.to_tls {
        if listener.to_ca.is_some() {
            return fail("`to-ca` requires `to-tls`");
        }
        if listener.to_crl.is_some() {
            return fail("`to-crl` requires `to-tls`");
        }
        if listener.to_name.is_some() {
            return fail("`to-name` requires `to-tls`");
        }
        if listener.health_check == Some(HealthCheck::Tls) {
            return fail("the check tls of `health-check` requires `to-tls`");
        }
    }
    if listener.to_each.is_some() && listener.to_tls && listener.to_name.is_none() {
        return fail("`to-each` with `to-tls` requires `to-name`, since addresses have no names");
    }
    let routes = listener.route.iter().map(|route| &route.to);
    for to in iter::once(&listener.to).chain(routes) {
        for (index, one) in to.iter().enumerate() {
            if to[..index].iter().any(|other| other.target == one.target) {
                let target = &one.target;
                return Err(format!(
                    "{target} is in `to` twice; give it a weight, as in {target}=2"
                ));
            }
        }
    }
    Ok(())
}

fn check(listener: &Listener) -> Result<(), String> {
    let fail = |problem: &str| Err(problem.to_owned());
    if listener.listen.is_empty() {
        return fail("`listen` is missing");
    }
    if listener.to.is_empty() && listener.route.is_empty() {
        return fail("`to` is missing");
    }
    check_upstreams(listener)?;
    match (&listener.tls_cert, &listener.tls_key) {
        (Some(_), None) => return fail("`tls-cert` requires `tls-key`"),
        (None, Some(_)) => return fail("`tls-key` requires `tls-cert`"),
        _ => {}
    }
    if listener.tls_cert.is_some() && !listener.acme_domain.is_empty() {
        return fail(
            "`acme-domain` and `tls-cert` exclude each other: the certificate of a listener is \
             either obtained or read; a route can have a `tls-cert` of its own",
        );
    }
    let mut routes = listener.route.iter();
    let has_certificate =
        listener.has_certificate() || routes.any(|route| route.tls_cert.is_some());
    if listener.client_ca.is_some() && !has_certificate {
        return fail("`client-ca` requires `tls-cert`");
    }
    if listener.tls_ocsp.is_some() && listener.tls_cert.is_none() {
        return fail("`tls-ocsp` requires `tls-cert`");
    }
    if !listener.tls_ticket_keys.is_empty() && !has_certificate {
        return fail("`tls-ticket-keys` requires `tls-cert`");
    }
    if !listener.tls_admit.is_empty() && listener.client_ca.is_none() {
        return fail("`tls-admit` requires `client-ca`");
    }
    if listener.client_crl.is_some() && listener.client_ca.is_none() {
        return fail("`client-crl` requires `client-ca`");
    }
    if !listener.alpn.is_empty() && !has_certificate {
        return fail("`alpn` requires `tls-cert`");
    }
    if listener.starttls.is_some() && (listener.to.is_empty() || listener.tls_cert.is_none()) {
        return fail("`starttls` requires `to` and `tls-cert`");
    }
    if listener.starttls.is_some() && !listener.deny_ja4.is_empty() {
        return fail("`deny-ja4` has no use with `starttls`, since clients do not begin with TLS");
    }
    if listener.starttls_plaintext.is_some() && listener.starttls.is_none() {
        return fail("`starttls-plaintext` requires `starttls`");
    }
    match listener.proxy_in {
        ProxyIn::Off if !listener.trust.is_empty() => return fail("`trust` requires `proxy-in`"),
        ProxyIn::Off => {}
        _ if listener.trust.is_empty() => {
            return fail("`proxy-in` requires `trust`, for example 10.0.0.0/8");
        }
        _ => {}
    }
    if !listener.alpn.iter().all(|name| is_protocol(name)) {
        return fail(PROTOCOL);
    }
    for (index, route) in listener.route.iter().enumerate() {
        let fail = |problem: &str| Err(format!("route {}: {problem}", index + 1));
        let mut before = listener.route[..index].iter();
        if let Some(other) = before.position(Route::matches_all) {
            let other = other + 1;
            return fail(&format!(
                "it is never used, since route {other} matches all clients"
            ));
        }
        if !route.alpn.iter().all(|name| is_protocol(name)) {
            return fail(PROTOCOL);
        }
        let has_certificate = route.tls_cert.is_some();
        if has_certificate != route.tls_key.is_some() {
            return fail("`tls-cert` and `tls-key` require each other");
        }
        if route.tls_ocsp.is_some() && !has_certificate {
            return fail("`tls-ocsp` requires `tls-cert`");
        }
        match route.tls {
            Some(RouteTls::PassThrough) if has_certificate => {
                return fail("`tls = \"pass-through\"` has no use for `tls-cert`");
            }
            Some(RouteTls::Terminate) if !has_certificate && !listener.has_certificate() => {
                return fail("`tls = \"terminate\"` requires `tls-cert`");
            }
            _ => {}
        }
        if let Err(error) = server_name::<()>(&route.sni) {
            return fail(&error.to_string());
        }
    }
    Ok(())
}

//! The certificates of all listeners and routes.

use crate::{
    config::Config,
    options::{ApplyTo, Listener, Route, RouteTls, StartTls},
    values::join,
};
use reagent::{BoxError, Carried};
use reagent_layers::{
    acme::Acme,
    tls::{
        CertificateResolver, TicketKeys, TlsConfigError, TlsLayer, TlsReloader,
        rustls::{server::ClientHello, sign::CertifiedKey},
    },
};
use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// The files and options that a TLS layer is made from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsOptions {
    identity: Identity,
    client_ca: Option<PathBuf>,
    client_crl: Option<PathBuf>,
    ticket_keys: Vec<PathBuf>,
    apply_to: ApplyTo,
    alpn: Vec<String>,
}

/// Where certificates come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Identity {
    Files {
        cert: PathBuf,
        key: PathBuf,
        ocsp: Option<PathBuf>,
    },
    /// They are obtained for these domains.
    Acme(Vec<String>),
}

impl Identity {
    /// Returns the file of the certificate, by which the keys of session tickets are known.
    fn name(&self) -> &Path {
        match self {
            Identity::Files { cert, .. } => cert,
            // Paths of files are absolute.
            Identity::Acme(_) => Path::new("acme"),
        }
    }
}

impl TlsOptions {
    fn layer(&self, keys: TicketKeys, acme: Option<&Acme>) -> Result<TlsLayer, TlsConfigError> {
        let builder = TlsLayer::builder()
            .ticket_keys(keys)
            .ticket_key_files(&self.ticket_keys)
            .alpn(&self.alpn);
        let mut builder = match (&self.identity, acme) {
            (Identity::Files { cert, key, ocsp }, _) => {
                let builder = builder.certificate(cert, key);
                match ocsp {
                    Some(ocsp) => builder.ocsp_response(ocsp),
                    None => builder,
                }
            }
            (Identity::Acme(_), Some(acme)) => builder.resolver(acme.clone()),
            (Identity::Acme(_), None) => builder.resolver(Checked),
        };
        if let Some(authorities) = &self.client_ca {
            builder = builder.require_client_certificates(authorities);
        }
        if let Some(lists) = &self.client_crl {
            builder = builder.client_crls(lists);
        }
        builder.apply(self.apply_to.into()).build()
    }
}

impl fmt::Display for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.identity {
            Identity::Files { cert, ocsp, .. } => {
                write!(f, "certificate {}", cert.display())?;
                if let Some(ocsp) = ocsp {
                    write!(f, " with the OCSP response {}", ocsp.display())?;
                }
            }
            Identity::Acme(domains) => {
                write!(f, "certificates by ACME for {}", domains.join(", "))?;
            }
        }
        if let Some(authorities) = &self.client_ca {
            write!(f, ", clients certified by {}", authorities.display())?;
        }
        if let Some(lists) = &self.client_crl {
            write!(f, ", unless revoked by {}", lists.display())?;
        }
        let keys = self.ticket_keys.iter().map(|path| path.display());
        f.write_str(&join(", ticket keys ", keys))?;
        match &*self.alpn {
            [] => Ok(()),
            alpn => write!(f, ", ALPN {}", alpn.join(", ")),
        }
    }
}

impl Listener {
    /// Returns the options of TLS for clients that match no route.
    pub fn tls(&self) -> Option<TlsOptions> {
        let mut alpn = self.alpn.clone();
        if let Some(protocol) = self.starttls.and_then(StartTls::alpn) {
            if !alpn.iter().any(|known| known == protocol) {
                alpn.push(protocol.to_owned());
            }
        }
        self.tls_with([&self.tls_cert, &self.tls_key, &self.tls_ocsp], &alpn)
    }

    /// Returns whether it has a certificate for clients that match no route.
    pub fn has_certificate(&self) -> bool {
        self.tls_cert.is_some() || !self.acme_domain.is_empty()
    }

    /// Returns the options of TLS for the clients of a route, unless it passes TLS through.
    ///
    /// A route that requires ALPN protocols negotiates one of them.
    pub fn tls_of(&self, route: &Route) -> Option<TlsOptions> {
        if route.tls == Some(RouteTls::PassThrough) {
            return None;
        }
        let alpn = match &*route.alpn {
            [] => &self.alpn,
            _ => &route.alpn,
        };
        match &route.tls_cert {
            Some(_) => self.tls_with([&route.tls_cert, &route.tls_key, &route.tls_ocsp], alpn),
            None => self.tls_with([&self.tls_cert, &self.tls_key, &self.tls_ocsp], alpn),
        }
    }

    fn tls_with(
        &self,
        [cert, key, ocsp]: [&Option<PathBuf>; 3],
        alpn: &[String],
    ) -> Option<TlsOptions> {
        let identity = match (cert, key) {
            (Some(cert), Some(key)) => Identity::Files {
                cert: cert.clone(),
                key: key.clone(),
                ocsp: ocsp.clone(),
            },
            _ if self.acme_domain.is_empty() => return None,
            _ => Identity::Acme(self.acme_domain.clone()),
        };
        Some(TlsOptions {
            identity,
            client_ca: self.client_ca.clone(),
            client_crl: self.client_crl.clone(),
            ticket_keys: self.tls_ticket_keys.clone(),
            apply_to: self.apply_to,
            alpn: alpn.to_owned(),
        })
    }
}

/// The layers for all options of TLS in a configuration.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    layers: HashMap<TlsOptions, TlsLayer>,
    /// The keys of session tickets, by the file of the certificate: layers with the same
    /// certificate may answer in each other's name.
    keys: HashMap<PathBuf, TicketKeys>,
    /// What was read for layers that are in use already, and remain so.
    read: Vec<(TlsReloader, TlsLayer)>,
}

impl Certificates {
    /// Reads all files. Sessions that began with `old` can be resumed. Layers of `old` remain as
    /// they are until [`apply`](Self::apply). Blocks.
    ///
    /// Without `acme`, which is enough for a check, there are no certificates by ACME.
    pub fn load(
        config: &Config,
        old: &Certificates,
        acme: Option<&Acme>,
    ) -> Result<Self, TlsConfigError> {
        let mut new = Certificates::default();
        for listener in &config.listeners {
            let of_routes = listener.route.iter().map(|route| listener.tls_of(route));
            for options in of_routes.chain([listener.tls()]).flatten() {
                let name = options.identity.name();
                let keys = new.keys.get(name).or_else(|| old.keys.get(name));
                let keys = keys.cloned().unwrap_or_default();
                new.keys.insert(name.to_owned(), keys.clone());
                if let Entry::Vacant(entry) = new.layers.entry(options) {
                    let layer = entry.key().layer(keys, acme)?;
                    let known = old.layers.get(entry.key());
                    if let Some(known) = known {
                        new.read.push((known.reloader(), layer.clone()));
                    }
                    entry.insert(known.cloned().unwrap_or(layer));
                }
            }
        }
        Ok(new)
    }

    /// Uses what was read. Blocks while certificates of clients are verified again.
    pub fn apply(mut self) -> Self {
        for (known, layer) in self.read.drain(..) {
            known.replace_with(&layer);
        }
        self
    }

    /// Returns the layer for these options, which are those of the configuration.
    pub fn layer(&self, options: &TlsOptions) -> TlsLayer {
        self.layers[options].clone()
    }

    pub fn reloaders(&self) -> impl Iterator<Item = TlsReloader> {
        self.layers.values().map(TlsLayer::reloader)
    }

    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    fn warn_of_expired_responses(&self) {
        let now = SystemTime::now();
        for (options, layer) in &self.layers {
            let mut served = layer.reloader().certificates().into_iter();
            if served.any(|served| served.ocsp_next_update.is_some_and(|until| until < now)) {
                tracing::warn!(tls = %options, "the OCSP response has expired and is not sent");
            }
        }
    }
}

/// Certificates that are not there, since nothing is served by them.
struct Checked;

impl CertificateResolver for Checked {
    fn resolve(&self, _: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

/// The certificates in use. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct CurrentCertificates(Arc<Mutex<Certificates>>);

impl CurrentCertificates {
    pub fn get(&self) -> Certificates {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn set(&self, certificates: Certificates) {
        certificates.warn_of_expired_responses();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = certificates;
    }
}

/// The keys of session tickets, in one piece, since a reload can add certificates.
impl Carried for CurrentCertificates {
    fn name(&self) -> &str {
        "tls ticket keys"
    }

    fn save(&self) -> Vec<u8> {
        let keys = self.get().keys.into_iter();
        let saved: Saved = keys.map(|(cert, keys)| (cert, keys.save())).collect();
        serde_json::to_vec(&saved).unwrap_or_default()
    }

    fn restore(&self, saved: &[u8]) -> Result<(), BoxError> {
        let saved: Saved = serde_json::from_slice(saved)?;
        let keys = self.get().keys;
        for (cert, saved) in saved {
            if let Some(keys) = keys.get(&cert) {
                keys.restore(&saved)?;
            }
        }
        Ok(())
    }
}

/// Saved keys, by the files of their certificates.
type Saved = HashMap<PathBuf, Vec<u8>>;

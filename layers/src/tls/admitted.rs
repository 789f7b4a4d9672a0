//! Client certificates of open connections, which are verified again when the authorities change.

use super::{TlsInfo, source::Current};
use crate::open_connections::OpenConnections;
use reagent::Rejected;
use std::{collections::HashMap, sync::Arc};
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};

/// The reason of a [`Rejected`] connection that was open when its client's certificate was no longer
/// valid after a reload: see [`TlsBuilder::apply`](super::TlsBuilder::apply).
pub const CLIENT_CERTIFICATE: &str = "client certificate";

/// The open connections of a layer, with the certificates of their clients.
pub(super) type Admitted = OpenConnections<(), TlsInfo>;

impl Current {
    /// Returns whether a client with this certificate chain would be admitted now.
    pub(super) fn admits(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some(verifier) = &self.verifier else {
            // Of a configuration that was supplied by the user, the verifier is not known.
            return true;
        };
        match chain {
            [] => !verifier.client_auth_mandatory(),
            [own, rest @ ..] => {
                let verified = verifier.verify_client_cert(own, rest, UnixTime::now());
                verified.is_ok()
            }
        }
    }

    /// Ends the connections whose clients would not be admitted now.
    pub(super) fn recheck(&self, admitted: &Admitted) {
        // Many connections may have the same client.
        let mut known: HashMap<Arc<[CertificateDer<'static>]>, bool> = HashMap::new();
        admitted.visit_all(|(connection, info)| {
            let chain = info.peer_certificates();
            let admits = match known.get(chain) {
                Some(admits) => *admits,
                None => {
                    let admits = self.admits(chain);
                    known.insert(chain.into(), admits);
                    admits
                }
            };
            if !admits {
                connection.reject(Rejected::new(CLIENT_CERTIFICATE));
            }
            !admits
        });
    }
}

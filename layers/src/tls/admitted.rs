//! Clients of open connections, which are checked again when what they were admitted by changes.

use super::{IDENTITY, TlsInfo, source::Current, upgrade::Admit};
use crate::open_connections::OpenConnections;
use reagent::Rejected;
use std::{collections::HashMap, sync::Arc};
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};

/// The reason of a [`Rejected`] connection that was open when its client's certificate was no longer
/// valid after a reload: see [`TlsBuilder::apply`](super::TlsBuilder::apply).
pub const CLIENT_CERTIFICATE: &str = "client certificate";

/// A client, and what decides on its identity.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) info: TlsInfo,
    pub(super) admit: Option<Arc<Admit>>,
}

/// The open connections of a layer, with their clients.
pub(super) type Admitted = OpenConnections<(), Client>;

impl Client {
    /// Fails if its identity is not admitted now.
    pub(super) fn check_identity(&self) -> Result<(), Rejected> {
        match &self.admit {
            Some(admit) if !admit(&self.info) => Err(Rejected::new(IDENTITY)),
            _ => Ok(()),
        }
    }
}

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
        admitted.visit_all(|(connection, client)| {
            let chain = client.info.peer_certificates();
            let is_valid = match known.get(chain) {
                Some(is_valid) => *is_valid,
                None => {
                    let is_valid = self.admits(chain);
                    known.insert(chain.into(), is_valid);
                    is_valid
                }
            };
            let checked = match is_valid {
                true => client.check_identity(),
                false => Err(Rejected::new(CLIENT_CERTIFICATE)),
            };
            match checked {
                Ok(()) => false,
                Err(rejected) => {
                    connection.reject(rejected);
                    true
                }
            }
        });
    }
}

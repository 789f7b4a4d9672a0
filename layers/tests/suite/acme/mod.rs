//! `Acme`: the hook in TLS, and directory servers that fail or lie. Those that do not are in the
//! tests of the gateway, with `pebble`.

mod challenge;
mod directory;
mod hostile;
mod schedule;

use crate::tls::pki::{Ca, Dir};
use directory::Directory;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use reagent_layers::acme::{Acme, AcmeBuilder, DomainStatus, Driver};
use std::{fs, path::PathBuf, time::Duration};
use tokio::{sync::watch, task::JoinHandle};

const DOMAIN: &str = "a.example.test";

/// A folder for the state, with the authority of the directory server.
struct Folder(Dir);

impl Folder {
    fn new(ca: &Ca) -> Self {
        let dir = Dir::new();
        dir.write("ca.pem", ca.pem());
        Folder(dir)
    }

    fn builder(&self, directory: &Directory) -> AcmeBuilder {
        Acme::builder(directory.url(), self.0.path("state"))
            .roots(self.0.path("ca.pem"))
            .backoff(Duration::from_millis(1), Duration::from_millis(10))
    }

    /// Keeps a certificate for the domain, valid for these years.
    fn keep(&self, directory: &Directory, years: (i32, i32)) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([DOMAIN.to_owned()]).unwrap();
        // By which the directory identifies it.
        params.use_authority_key_identifier_extension = true;
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        let own = params.self_signed(&key).unwrap();
        // Made by the library, with its mode.
        let made = self.builder(directory).domain(DOMAIN).build();
        drop(made.unwrap());
        let path = self.state(directory).join(format!("{DOMAIN}.pem"));
        fs::write(&path, [key.serialize_pem(), own.pem()].concat()).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    fn state(&self, directory: &Directory) -> PathBuf {
        let name = format!("localhost_{}_dir", directory.port());
        self.0.path("state").join(name)
    }
}

/// Waits for a status of the first domain.
async fn until(
    status: &mut watch::Receiver<Vec<DomainStatus>>,
    condition: impl Fn(&DomainStatus) -> bool,
) -> DomainStatus {
    let found = status.wait_for(|all| all.first().is_some_and(&condition));
    let found = tokio::time::timeout(crate::support::LONG * 10_000, found).await;
    found.expect("in time").expect("a driver")[0].clone()
}

/// Runs a driver beside the test.
#[expect(
    clippy::disallowed_methods,
    reason = "the test checks whether it has ended"
)]
fn beside(driver: Driver) -> JoinHandle<()> {
    tokio::spawn(driver)
}

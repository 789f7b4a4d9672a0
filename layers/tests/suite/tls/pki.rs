//! Certificates made for tests, and clients that trust them.

use super::der;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SigningKey,
};
use reagent_layers::tls::rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
    version::{TLS12, TLS13},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// A directory that is removed at the end of the test.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("reagent-tls-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A certificate authority.
pub struct Ca(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub struct Made {
    pub cert: CertificateDer<'static>,
    pub pem: String,
    pub key: KeyPair,
}

impl Ca {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        Ca(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn key_pem(&self) -> String {
        self.0.key().serialize_pem()
    }

    fn issue(&self, params: CertificateParams) -> Made {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Made {
            cert: cert.der().clone(),
            pem: cert.pem(),
            key,
        }
    }

    pub fn server(&self, names: &[&str]) -> Made {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        self.issue(CertificateParams::new(names).unwrap())
    }

    /// Does the same, with dates or other details.
    pub fn server_with(
        &self,
        names: &[&str],
        configure: impl FnOnce(&mut CertificateParams),
    ) -> Made {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        configure(&mut params);
        self.issue(params)
    }

    pub fn client(&self, name: &str) -> Made {
        self.client_with(|params| params.distinguished_name.push(DnType::CommonName, name))
    }

    pub fn client_with(&self, configure: impl FnOnce(&mut CertificateParams)) -> Made {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        configure(&mut params);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    /// Returns a list of revoked serial numbers in PEM, valid until the beginning of this year.
    pub fn revoke(&self, serials: &[u64], until: i32) -> String {
        self.revoke_from(2020, serials, until)
    }

    /// Returns a list of the year `from`.
    pub fn revoke_from(&self, from: i32, serials: &[u64], until: i32) -> String {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: rcgen::date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(from, 1, 1),
            next_update: rcgen::date_time_ymd(until, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.0).unwrap().pem().unwrap()
    }

    /// Returns the same certificate in X.509 version 1, which has no extensions.
    pub fn in_version_1(&self, made: &Made) -> Vec<u8> {
        der::in_version_1(&made.cert, |signed| self.0.key().sign(signed).unwrap())
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    /// Returns a client configuration that trusts this authority, with these versions.
    pub fn believer(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots())
            .with_no_client_auth()
    }

    /// Does the same, with a client certificate.
    pub fn believer_with(
        &self,
        made: &Made,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots())
            .with_client_auth_cert(vec![made.cert.clone()], made.key_der())
            .unwrap()
    }
}

impl Made {
    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.serialize_der().into())
    }

    /// Writes `name.pem` and `name.key`.
    pub fn write(&self, dir: &Dir, name: &str) -> (PathBuf, PathBuf) {
        let (cert, key) = pair(dir, name);
        self.overwrite(&cert, &key);
        (cert, key)
    }

    pub fn overwrite(&self, cert: &Path, key: &Path) {
        fs::write(cert, &self.pem).unwrap();
        fs::write(key, self.key.serialize_pem()).unwrap();
    }
}

pub fn pair(dir: &Dir, name: &str) -> (PathBuf, PathBuf) {
    (
        dir.path(&format!("{name}.pem")),
        dir.path(&format!("{name}.key")),
    )
}

pub const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];
pub const EACH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

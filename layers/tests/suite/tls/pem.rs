//! PEM files in the wild: either everything in them is used, or the error says what is not and
//! where.

use super::{
    pki::{Ca, Dir},
    running::{Running, close, in_full},
};
use crate::tls::pki::BOTH;
use reagent_layers::tls::TlsLayer;
use std::{process::Command, sync::Arc};

/// Returns the result of loading this file as client authorities.
fn as_authorities(dir: &Dir, text: impl AsRef<[u8]>) -> Result<(), String> {
    let (cert, key) = Ca::new("server ca")
        .server(&["localhost"])
        .write(dir, "server");
    let authorities = dir.write("ca.pem", text);
    TlsLayer::builder()
        .certificate(cert, key)
        .require_client_certificates(authorities)
        .build()
        .map(drop)
        .map_err(|error| in_full(&error))
}

/// Returns the output of `openssl`, or `None` if it is not installed.
fn openssl(dir: &Dir, args: &str) -> Option<Vec<u8>> {
    let output = Command::new("openssl")
        .args(args.split(' '))
        .current_dir(dir.path("."))
        .output();
    match output {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "openssl {args}: {said}");
            Some(output.stdout)
        }
        Err(_) => {
            crate::skipped::skipped("openssl is not installed");
            None
        }
    }
}

#[tokio::test]
async fn every_authority_of_a_bundle_is_read_however_it_is_written() {
    let (dir, one, two) = (Dir::new(), Ca::new("one"), Ca::new("two"));
    let server = Ca::new("server");
    let (cert, key) = server.server(&["localhost"]).write(&dir, "server");
    let indented = |pem: String| pem.lines().map(|line| format!("    {line}\r\n")).collect();
    let marked = |pem: String| format!("\u{feff}{pem}");
    let old = |pem: String| pem.replace(" CERTIFICATE", " X509 CERTIFICATE");
    let commented = |pem: String| format!("# {}\n{pem}", "Issuer: \u{e9}");
    let as_it_is = |pem: String| pem;
    let ways: [&dyn Fn(String) -> String; 5] = [&as_it_is, &indented, &marked, &old, &commented];
    for way in ways {
        for (first, second) in [(way(one.pem()), two.pem()), (one.pem(), way(two.pem()))] {
            let layer = TlsLayer::builder()
                .certificate(&cert, &key)
                .require_client_certificates(dir.write("ca.pem", first + &second))
                .build()
                .unwrap();
            let running = Running::new(layer).await;
            for ca in [&one, &two] {
                let config = server.believer_with(&ca.client("alice"), BOTH);
                let client = running.connect(&Arc::new(config), "localhost").await;
                close(client.unwrap()).await;
            }
        }
    }
}

#[test]
fn unread_sections_are_named_with_their_line() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let lines = ca.pem().lines().count();
    let path = dir.path("ca.pem");
    let path = path.display();
    for (label, reason) in [
        (
            "TRUSTED CERTIFICATE",
            "it is a TRUSTED CERTIFICATE; convert it",
        ),
        ("CERTIFICATE REQUEST", "it is a certificate request;"),
        ("PKCS7", "it is PKCS #7; convert it"),
        ("X509 CRL", "it is a revocation list"),
        ("ATTRIBUTE CERTIFICATE", "expected a CERTIFICATE"),
    ] {
        let second = ca.pem().replace("CERTIFICATE", label);
        let said = as_authorities(&dir, ca.pem() + &second).unwrap_err();
        let expected = format!(
            "cannot use section 2 of {path}, line {}: {reason}",
            lines + 1
        );
        assert!(said.starts_with(&expected), "{said}");
    }
    // A BEGIN mark that `cat` has put at the end of a line.
    let said = as_authorities(&dir, ca.pem().trim_end().to_owned() + &ca.pem()).unwrap_err();
    assert!(
        said.contains("the line has text beside its BEGIN mark"),
        "{said}"
    );
    // An invalid certificate.
    let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let said = as_authorities(&dir, ca.pem() + bad).unwrap_err();
    let place = format!("(section 2, line {})", lines + 1);
    assert!(
        said.contains(&place) && said.contains("BadEncoding"),
        "{said}"
    );
}

#[test]
fn an_authority_whose_signatures_cannot_be_checked_is_refused() {
    let dir = Dir::new();
    for (key, is_good) in [
        ("rsa:1024", false),
        ("rsa:2048", true),
        ("ec -pkeyopt ec_paramgen_curve:secp521r1", false),
        ("ec -pkeyopt ec_paramgen_curve:secp256k1", false),
        ("ec -pkeyopt ec_paramgen_curve:secp384r1", true),
        ("ed25519", true),
    ] {
        let args = format!("req -x509 -nodes -keyout other.key -subj /CN=ca -newkey {key}");
        let Some(pem) = openssl(&dir, &args) else {
            return;
        };
        let result = as_authorities(&dir, pem);
        match is_good {
            true => assert_eq!(result, Ok(()), "{key}"),
            false => {
                let said = result.unwrap_err();
                assert!(said.contains("RSA of 2048 to 8192 bits"), "{said}");
                assert!(said.contains("(section 1, line 1)"), "{said}");
            }
        }
    }
}

#[test]
fn a_key_that_cannot_sign_is_refused_with_the_reason_and_the_limits() {
    let dir = Dir::new();
    for key in [
        "rsa:1024",
        "rsa:8192",
        "ec -pkeyopt ec_paramgen_curve:secp521r1",
    ] {
        let args =
            format!("req -x509 -nodes -keyout own.key -out own.pem -subj /CN=x -newkey {key}");
        if openssl(&dir, &args).is_none() {
            return;
        }
        let error = TlsLayer::from_pem_files(dir.path("own.pem"), dir.path("own.key")).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("expected RSA of 2048 to 4096 bits"),
            "{message}"
        );
        assert!(std::error::Error::source(&error).is_some());
    }
}

#[test]
fn an_encrypted_key_of_either_kind_is_said_to_be_encrypted() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (cert, _) = ca.server(&["localhost"]).write(&dir, "server");
    for args in [
        "genrsa -traditional -aes128 -passout pass:secret 2048",
        "genrsa -aes128 -passout pass:secret 2048",
    ] {
        let Some(key) = openssl(&dir, args) else {
            return;
        };
        let key = dir.write("secret.key", key);
        let error = TlsLayer::from_pem_files(&cert, &key).unwrap_err();
        assert!(error.to_string().contains("is encrypted"), "{error}");
    }
}

/// Reading a file without an end, or one that blocks, would never finish.
#[cfg(target_os = "linux")]
#[test]
fn special_files_are_not_read() {
    let error = TlsLayer::from_pem_files("/dev/zero", "/dev/zero").unwrap_err();
    assert_eq!(
        in_full(&error),
        "cannot read /dev/zero: expected a regular file"
    );
    let dir = Dir::new();
    let path = dir.path("large.pem");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(1 << 32).unwrap();
    let error = TlsLayer::from_pem_files(&path, &path).unwrap_err();
    assert!(in_full(&error).contains("expected at most"), "{error}");
}

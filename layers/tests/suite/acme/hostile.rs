//! Directory servers that hang, lie or send garbage.

use super::{
    DOMAIN, Folder, beside,
    directory::{Directory, Reply},
    until,
};
use crate::tls::{pki::Ca, running::in_full};
use rcgen::{CertificateParams, KeyPair};
use reagent_layers::tls::CertificateResolver;

/// Returns the error of the first attempt, and checks that nothing else has happened.
async fn fails(script: impl Fn(&str, &str) -> Option<Reply> + Send + Sync + 'static) -> String {
    let ca = Ca::new("ca");
    let directory = Directory::start(&ca, script).await;
    let folder = Folder::new(&ca);
    folder.keep(&directory, (2000, 2030));
    let (acme, driver) = folder.builder(&directory).domain(DOMAIN).build().unwrap();
    let before = acme.certificates();
    let driver = beside(driver);
    let mut status = acme.status();
    until(&mut status, |domain| domain.failures >= 2).await;
    let last = status.borrow()[0].clone();
    assert!(!driver.is_finished(), "it goes on");
    assert_eq!(acme.certificates(), before, "the old one is served");
    in_full(&*last.last_error.unwrap())
}

fn at(request: &'static str, reply: Reply) -> impl Fn(&str, &str) -> Option<Reply> {
    move |asked, _| (asked == request).then(|| reply.clone())
}

#[tokio::test]
async fn a_bad_answer_is_an_error_and_changes_nothing() {
    let directory = |nonce: &str| {
        let url = "https://localhost/x";
        let body = format!(r#"{{"newNonce":"{nonce}","newAccount":"{url}","newOrder":"{url}"}}"#);
        at("GET /dir", Reply::new(200, body))
    };
    let said = fails(at("GET /dir", Reply::new(200, "<html>"))).await;
    assert!(said.contains("expected a directory"), "{said}");
    // The library panics at this one.
    let said = fails(directory("not a URL")).await;
    assert!(said.contains("https:// for newNonce"), "{said}");
    let said = fails(directory("http://localhost/x")).await;
    assert!(said.contains("https:// for newNonce"), "{said}");
    let said = fails(at("GET /dir", Reply::Endless)).await;
    assert!(said.contains("length limit exceeded"), "{said}");
    let said = fails(at("HEAD /nonce", Reply::new(503, ""))).await;
    assert!(said.contains("newNonce"), "{said}");
    let said = fails(at("POST /account", Reply::new(500, "<html>"))).await;
    assert!(said.contains("JSON"), "{said}");
    let said = fails(at("POST /order", Reply::problem(429, "rateLimited"))).await;
    assert!(said.contains("rateLimited"), "{said}");
}

#[tokio::test]
async fn a_time_to_wait_beyond_all_clocks_is_no_panic() {
    let ca = Ca::new("ca");
    let order = |asked: &str, host: &str| match asked {
        "POST /order" => {
            let body = format!(
                r#"{{"status":"processing","authorizations":[],"finalize":"{host}/finalize"}}"#
            );
            let reply = Reply::new(201, body).header(&format!("location: {host}/order"));
            Some(reply.header(&format!("retry-after: {}", u64::MAX)))
        }
        _ => None,
    };
    let directory = Directory::start(&ca, order).await;
    let folder = Folder::new(&ca);
    let (acme, driver) = folder.builder(&directory).domain(DOMAIN).build().unwrap();
    let driver = beside(driver);
    until(&mut acme.status(), |domain| domain.failures > 0).await;
    assert!(!driver.is_finished());
}

#[tokio::test]
async fn a_certificate_for_another_key_is_not_used() {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([DOMAIN.to_owned()]).unwrap();
    let other = params.self_signed(&key).unwrap().pem();
    let said = fails(move |asked, host| {
        let order = |status: &str| {
            format!(
                r#"{{"status":"{status}","authorizations":[],"finalize":"{host}/finalize",
                "certificate":"{host}/certificate"}}"#
            )
        };
        let reply = match asked {
            "POST /order" => Reply::new(201, order("ready")),
            "POST /finalize" | "POST /order/1" => Reply::new(200, order("valid")),
            "POST /certificate" => Reply::new(200, &*other),
            _ => return None,
        };
        Some(reply.header(&format!("location: {host}/order/1")))
    })
    .await;
    assert!(
        said.contains("expected a certificate for the private key"),
        "{said}"
    );
}

#[tokio::test]
async fn a_directory_that_is_not_trusted_learns_nothing() {
    let ca = Ca::new("ca");
    let directory = Directory::start(&ca, |_, _| None).await;
    let folder = Folder::new(&Ca::new("another"));
    let (acme, driver) = folder.builder(&directory).domain(DOMAIN).build().unwrap();
    let _driver = beside(driver);
    let mut status = acme.status();
    let failed = until(&mut status, |domain| domain.failures > 0).await;
    let said = in_full(&*failed.last_error.unwrap());
    assert!(said.contains("UnknownIssuer"), "{said}");
    assert_eq!(directory.count("GET /dir"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_hangs_is_given_up() {
    let ca = Ca::new("ca");
    let directory = Directory::start(&ca, at("GET /dir", Reply::Hang)).await;
    let folder = Folder::new(&ca);
    let (acme, driver) = folder.builder(&directory).domain(DOMAIN).build().unwrap();
    let _driver = beside(driver);
    let mut status = acme.status();
    let failed = until(&mut status, |domain| domain.failures > 2).await;
    let said = in_full(&*failed.last_error.unwrap());
    assert!(said.contains("within"), "{said}");
}

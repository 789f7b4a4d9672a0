//! An error returned from `main` is readable by users of the program.

use crate::support::echo;
use reagent::{Error, Server, handle};
use std::{error::Error as _, io, net::TcpListener};

/// Returns what a program prints if its `main` returns this error, in one line.
fn printed(error: Error) -> String {
    format!("Error: {:?}", reagent::BoxError::from(error))
}

async fn refused(addr: &str) -> Error {
    let started = Server::bind(addr).start(handle(echo)).await;
    started.map(drop).expect_err("to be refused")
}

#[tokio::test]
async fn an_address_in_use_is_printed_with_what_to_do_and_what_the_system_said() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let error = refused(&addr.to_string()).await;
    let system = io::Error::from_raw_os_error(libc::EADDRINUSE);
    let expected = format!(
        "Error: cannot listen on {addr}: another server listens there; stop it or choose another \
         address: {system}"
    );
    assert_eq!(printed(error), expected);
}

#[tokio::test]
async fn an_invalid_address_is_printed_without_its_structure() {
    let text = printed(refused("127.0.0.1").await);
    assert!(
        text.starts_with("Error: cannot listen on \"127.0.0.1\": "),
        "{text}"
    );
    assert!(!text.contains('{'), "{text}");
}

#[tokio::test]
async fn a_service_that_cannot_be_made_is_printed_with_all_causes() {
    let outer = Outer(io::Error::other("the file is empty"));
    let error = Error::Make(outer.into());
    assert_eq!(
        printed(error),
        "Error: cannot make the service of an acceptor: no configuration: the file is empty"
    );
}

#[tokio::test]
async fn the_alternate_form_shows_the_structure() {
    let error = refused("127.0.0.1").await;
    let shown = format!("{error:#?}");
    assert!(
        shown.starts_with("Address {\n    addr: \"127.0.0.1\",\n"),
        "{shown}"
    );
    assert!(error.source().is_none());
    assert_eq!(format!("{:#?}", Error::NoListener), "NoListener");
}

#[derive(Debug)]
struct Outer(io::Error);

impl std::fmt::Display for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no configuration")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

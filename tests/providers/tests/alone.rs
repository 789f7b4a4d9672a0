//! aws-lc-rs alone. It is one test, because a process has only one default.

#![cfg(not(feature = "ring"))]

mod site;

use reagent::Carried;
use reagent_layers::tls::{
    TicketKeys, TlsConfigError,
    rustls::{NamedGroup, crypto::aws_lc_rs},
};
use site::{Site, start};

#[tokio::test]
async fn a_provider_is_required_and_may_be_that_of_the_layer_or_of_the_process() {
    let site = Site::new();
    let none = site.layer(|builder| builder);
    assert!(matches!(none, Err(TlsConfigError::NoProvider)), "{none:?}");

    let old = TicketKeys::new();
    let of_layer =
        |builder: reagent_layers::tls::TlsBuilder| builder.provider(aws_lc_rs::default_provider());
    let layer = site.layer(|builder| of_layer(builder).ticket_keys(old.clone()));
    let (_server, clients) = start(layer.unwrap()).await;
    let first = site.handshake(&clients).await;
    assert_eq!(first, (NamedGroup::X25519MLKEM768, false));
    assert_eq!(
        site.handshake(&clients).await,
        (NamedGroup::X25519MLKEM768, true)
    );

    aws_lc_rs::default_provider().install_default().unwrap();
    let new = TicketKeys::new();
    let layer = site
        .layer(|builder| builder.ticket_keys(new.clone()))
        .unwrap();
    new.restore(&old.save()).unwrap();
    let (_server, clients) = start(layer).await;
    assert_eq!(
        site.handshake(&clients).await,
        (NamedGroup::X25519MLKEM768, true)
    );
    assert!(new.ticketer().enabled());
}

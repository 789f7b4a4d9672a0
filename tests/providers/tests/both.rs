//! aws-lc-rs beside ring.

#![cfg(feature = "ring")]

mod site;

use reagent::Carried;
use reagent_layers::tls::{
    TicketKeys,
    rustls::{NamedGroup, crypto::aws_lc_rs},
};
use site::{Site, start};

#[tokio::test]
async fn each_layer_has_its_provider_and_they_read_the_same_tickets() {
    let site = Site::new();
    let keys = TicketKeys::new();
    let ring = site
        .layer(|builder| builder.ticket_keys(keys.clone()))
        .unwrap();
    let (_ring, to_ring) = start(ring).await;
    let first = site.handshake(&to_ring).await;
    assert_eq!(first, (NamedGroup::X25519, false));

    let restored = TicketKeys::new();
    restored.restore(&keys.save()).unwrap();
    let builder = |builder: reagent_layers::tls::TlsBuilder| {
        let builder = builder.provider(aws_lc_rs::default_provider());
        builder.ticket_keys(restored.clone())
    };
    let (_aws, to_aws) = start(site.layer(builder).unwrap()).await;
    let resumed = site.handshake(&to_aws).await;
    assert_eq!(resumed, (NamedGroup::X25519MLKEM768, true));
    let resumed = site.handshake(&to_ring).await;
    assert_eq!(resumed, (NamedGroup::X25519, true));
}

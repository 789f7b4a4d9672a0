//! Any bytes, in any pieces.

use super::{CANCEL_REQUEST, GSSENC_REQUEST, SSL_REQUEST, STARTUP, Site};
use crate::{support::check, tls::running::in_time};
use proptest::{collection::vec, prelude::*};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Builder,
};

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::sample::select(vec![SSL_REQUEST, GSSENC_REQUEST, CANCEL_REQUEST, STARTUP])
            .prop_map(<[u8]>::to_vec),
        1 => Just(b"\x16\x03\x01\0\x05\x01\0\0\x01\0".to_vec()),
        1 => vec(any::<u8>(), 0..20),
        // A request that is cut short.
        1 => (1..16_usize).prop_map(|len| CANCEL_REQUEST[..len].to_vec()),
    ]
}

#[test]
fn only_a_cancel_request_ever_reaches_a_handler_in_plaintext() {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    check(300, vec(piece(), 0..5), |pieces| {
        runtime.block_on(async {
            let mut site = Site::new(|layer| layer).await;
            let mut client = site.client().await;
            for piece in &pieces {
                // The server may have closed the connection.
                let _ = client.write_all(piece).await;
                tokio::task::yield_now().await;
            }
            let _ = client.shutdown().await;
            let mut response = Vec::new();
            let _ = in_time(client.read_to_end(&mut response)).await;
            let outcome = site.ends.of(1).await;
            if let Ok(received) = site.received.try_recv() {
                prop_assert!(!received.is_secure);
                prop_assert_eq!(&received.began, "cancel");
                prop_assert_eq!(&received.bytes[4..8], &CANCEL_REQUEST[4..8]);
                let len: [u8; 4] = received.bytes[..4].try_into().unwrap();
                prop_assert_eq!(u32::from_be_bytes(len) as usize, received.bytes.len());
            } else {
                let is_served = matches!(outcome, reagent::Outcome::Completed);
                prop_assert!(!is_served);
            }
            Ok(())
        })
    });
}

//! What a PostgreSQL client sends before its startup message: "Message Formats" in the documentation
//! of its protocol.

use super::protocol::Step;

/// The length of everything that a request of this kind consists of.
const REQUEST: usize = 8;

/// The numbers that take the place of a protocol version.
const CANCEL_REQUEST: u32 = 80877102;
const SSL_REQUEST: u32 = 80877103;
const GSSENC_REQUEST: u32 = 80877104;

/// A CancelRequest with a key of 4 to 256 bytes. Before protocol version 3.2, all keys have 4.
const CANCEL: std::ops::RangeInclusive<usize> = 16..=268;

/// The server's limit on a startup message, `MAX_STARTUP_PACKET_LENGTH`.
const STARTUP: std::ops::RangeInclusive<usize> = 9..=10_000;

/// The type of a TLS record that carries a handshake. No message of PostgreSQL is long enough to
/// begin with this byte.
const TLS: u8 = 22;

/// The ErrorResponse to a startup message that should have been encrypted: severity, the code
/// `invalid_authorization_specification`, and a text.
const REFUSAL: &[u8] =
    b"E\0\0\0\x45SFATAL\0VFATAL\0C28000\0Mthe server requires TLS (sslmode=require)\0\0";

/// The ALPN protocol of a client that begins with TLS.
const ALPN: &[u8] = b"postgresql";

/// As in the server, a client that was declined may not begin with TLS any more.
pub(super) fn read(bytes: &[u8], was_declined: bool) -> Step {
    match bytes.first() {
        Some(&TLS) if !was_declined => return Step::Direct { alpn: ALPN },
        Some(0) => {}
        Some(_) => return Step::Invalid,
        None => return Step::NeedMore(1),
    }
    let Some(request) = bytes.first_chunk::<REQUEST>() else {
        return Step::NeedMore(REQUEST);
    };
    let [l0, l1, l2, l3, code @ ..] = *request;
    let len = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
    match u32::from_be_bytes(code) {
        SSL_REQUEST if len == REQUEST => Step::Begin {
            len,
            answer: b"S".to_vec(),
        },
        GSSENC_REQUEST if len == REQUEST && !was_declined => Step::Decline {
            len,
            answer: b"N".to_vec(),
        },
        CANCEL_REQUEST if CANCEL.contains(&len) => match bytes.len() < len {
            true => Step::NeedMore(len),
            false => Step::PassMessage(len),
        },
        code if code >> 16 == 3 && STARTUP.contains(&len) => Step::Plaintext {
            refusal: REFUSAL.to_vec(),
            goes_on: None,
        },
        _ => Step::Invalid,
    }
}

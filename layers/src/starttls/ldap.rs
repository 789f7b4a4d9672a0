//! The requests of an LDAP client, as far as they matter before TLS: RFC 4511.

use super::{ber::Reader, protocol::Step};

/// The name of the request that asks for TLS: section 4.14.
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// The longest request that is read in full, and the number of requests that are refused before the
/// client has to go.
const MAX_REQUEST: usize = 4096;
const MAX_REFUSED: usize = 8;

/// The tags of a message and of its parts: section 4.2 and those that follow.
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const ENUMERATED: u8 = 0x0a;
const OCTET_STRING: u8 = 0x04;
const REQUEST_NAME: u8 = 0x80;
const RESPONSE_NAME: u8 = 0x8a;
const UNBIND: u8 = 0x42;
const EXTENDED: u8 = 0x77;
const EXTENDED_RESPONSE: u8 = 0x78;

/// The result codes: appendix A.
const SUCCESS: u8 = 0;
const CONFIDENTIALITY_REQUIRED: u8 = 13;

/// `refused` is the number of requests that were refused.
pub(super) fn read(bytes: &[u8], refused: usize) -> Step {
    request(bytes, refused).unwrap_or_else(|step| step)
}

/// What cannot be read yet, and what can never be read, ends it early.
fn request(bytes: &[u8], refused: usize) -> Result<Step, Step> {
    let mut reader = Reader::new(bytes);
    let mut message = reader.element(SEQUENCE)?;
    let len = message.end();
    let id = message.integer(INTEGER)?;
    // Zero is for messages of the server.
    let id = i32::try_from(id).ok().filter(|id| *id > 0);
    let id = id.ok_or(Step::Invalid)?;
    let operation = message.tag()?;
    let response = response_to(operation).ok_or(Step::Invalid)?;
    if operation == EXTENDED && len <= MAX_REQUEST {
        if bytes.len() < len {
            return Err(Step::NeedMore(len));
        }
        let mut request = message.element(EXTENDED)?;
        if request.octets(REQUEST_NAME)? == START_TLS {
            // It has no value, and no controls are defined for it.
            return match request.is_empty() && message.is_empty() {
                true => Ok(Step::Begin {
                    len,
                    answer: result(id, EXTENDED_RESPONSE, SUCCESS, b"", START_TLS),
                }),
                false => Err(Step::Invalid),
            };
        }
    }
    let text = b"TLS is required (StartTLS)";
    let refusal = response.map(|tag| result(id, tag, CONFIDENTIALITY_REQUIRED, text, b""));
    let goes_on = operation != UNBIND && len <= MAX_REQUEST && refused < MAX_REFUSED;
    Ok(Step::Plaintext {
        refusal: refusal.unwrap_or_default(),
        goes_on: goes_on.then_some(len),
    })
}

/// Returns the tag of the response to an operation, which is `None` if there is no response to it;
/// or `None` if it is no operation that a client can ask for.
fn response_to(operation: u8) -> Option<Option<u8>> {
    match operation {
        UNBIND => Some(None),
        // Abandon.
        0x50 => Some(None),
        // Bind, search, modify, add, modify DN, compare.
        0x60 | 0x66 | 0x68 | 0x6c | 0x6e | EXTENDED => Some(Some(operation + 1)),
        // A search ends with its second kind of response.
        0x63 => Some(Some(0x65)),
        // Delete.
        0x4a => Some(Some(0x6b)),
        _ => None,
    }
}

/// Writes a message with a result. All of its lengths are below 128.
fn result(id: i32, response: u8, code: u8, text: &[u8], name: &[u8]) -> Vec<u8> {
    let id = id.to_be_bytes();
    let mut result = element(ENUMERATED, &[code]);
    result.extend(element(OCTET_STRING, b""));
    result.extend(element(OCTET_STRING, text));
    if !name.is_empty() {
        result.extend(element(RESPONSE_NAME, name));
    }
    // An integer is as short as its sign allows.
    let skipped = id.windows(2).take_while(|two| two[0] == 0 && two[1] < 0x80);
    let skipped = skipped.count();
    let mut message = element(INTEGER, &id[skipped..]);
    message.extend(element(response, &result));
    element(SEQUENCE, &message)
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut element = vec![tag, content.len() as u8];
    element.extend(content);
    element
}

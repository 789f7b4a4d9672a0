//! The first line of an HTTP/1 request with any method: RFC 9112, section 3.

/// A bound on the method. The longest one registered has 17 bytes (`UPDATEREDIRECTREF`).
const MAX_METHOD: usize = 32;

/// Followed by any minor version.
const VERSION: &[u8] = b"HTTP/1.";

/// The result of [`line`].
pub(super) enum Line {
    Http1,
    /// The bytes may become such a line.
    Part,
    Other,
}

/// Looks for a method, a target and a version of HTTP/1, separated by single spaces.
///
/// It decides at the first byte that allows it, so a client of a line-based protocol is decided at
/// the end of its first line at the latest. Methods are case-sensitive, and all that exist begin
/// with a capital letter, so a client that begins with anything else is decided at once.
pub(super) fn line(bytes: &[u8]) -> Line {
    if bytes.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
        return Line::Other;
    }
    let method = bytes.iter().take_while(|byte| is_token(**byte)).count();
    if method > MAX_METHOD {
        return Line::Other;
    }
    let target = match &bytes[method..] {
        [] => return Line::Part,
        [b' ', target @ ..] => target,
        _ => return Line::Other,
    };
    let len = target.iter().take_while(|byte| is_target(**byte)).count();
    let version = match &target[len..] {
        [] => return Line::Part,
        [b' ', version @ ..] if len > 0 => version,
        _ => return Line::Other,
    };
    match version {
        version if version.starts_with(VERSION) => Line::Http1,
        version if VERSION.starts_with(version) => Line::Part,
        _ => Line::Other,
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The bytes that servers accept in a target: visible characters, and bytes beyond ASCII that
/// should have been escaped.
fn is_target(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f
}

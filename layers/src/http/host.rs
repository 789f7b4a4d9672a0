//! The check that a request names its host once, in a way that everybody reads alike.

use http::{HeaderValue, Request, Version, header::HOST, uri::Authority};

/// Returns whether the request is to be refused with 400 (RFC 9112, section 3.2, and RFC 9113,
/// section 8.3.1).
pub(super) fn is_refused<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, others) = (hosts.next(), hosts.next());
    if others.is_some() {
        return true;
    }
    let is_http2 = request.version() == Version::HTTP_2;
    let Some(host) = host else {
        return request.version() == Version::HTTP_11;
    };
    if !is_valid(host.as_bytes()) {
        return true;
    }
    match request.uri().authority() {
        Some(authority) if is_http2 => {
            let port = match request.uri().scheme_str() {
                Some("https") => ":443",
                _ => ":80",
            };
            !is_same(authority, host, port)
        }
        _ => false,
    }
}

/// Returns whether it is `uri-host [ ":" port ]` (RFC 9110, section 7.2), which may be empty.
fn is_valid(host: &[u8]) -> bool {
    let end = match host {
        [b'[', rest @ ..] => {
            let is_ip = |&byte: &u8| is_name_byte(byte) || byte == b':';
            match rest.iter().position(|byte| !is_ip(byte)) {
                Some(n) if n > 0 && rest[n] == b']' => n + 2,
                _ => return false,
            }
        }
        _ => {
            let end = host.iter().position(|&byte| !is_name_byte(byte));
            end.unwrap_or(host.len())
        }
    };
    match &host[end..] {
        [] => true,
        [b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Returns whether the byte may occur in a `reg-name` (RFC 3986, section 3.2.2).
fn is_name_byte(byte: u8) -> bool {
    NAME_BYTES[byte as usize]
}

/// A table, since the check is made for every request.
static NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut n = 0;
    while n < table.len() {
        let byte = n as u8;
        table[n] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%')
            || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')')
            || matches!(byte, b'*' | b'+' | b',' | b';' | b'=');
        n += 1;
    }
    table
};

/// Returns whether both name the same host and port; `port` is the default one, which may be left
/// out.
fn is_same(authority: &Authority, host: &HeaderValue, port: &str) -> bool {
    let (one, two) = (authority.as_str().as_bytes(), host.as_bytes());
    let strip = |name| <[u8]>::strip_suffix(name, port.as_bytes()).unwrap_or(name);
    strip(one).eq_ignore_ascii_case(strip(two))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_a_port_or_without() {
        for host in [
            "",
            "a",
            "A-b_c.example",
            "a:80",
            "a:",
            "192.0.2.1:8080",
            "[2001:db8::1]",
            "[::1]:443",
            "xn--bcher-kva.example",
            "a%20b",
            "a,b",
        ] {
            assert!(is_valid(host.as_bytes()), "{host:?}");
        }
        for host in [
            "a b", "a b/c", "a/b", "user@a", "a:b", "a:80:80", "[::1", "[]", "[::1]x", "[a/b]",
            "a\"", "::1", "a?b", "a#b", "ä",
        ] {
            assert!(!is_valid(host.as_bytes()), "{host:?}");
        }
    }

    #[test]
    fn the_port_that_is_left_out_is_the_same() {
        let is_same = |authority: &'static str, host: &'static str, port| {
            is_same(
                &Authority::from_static(authority),
                &HeaderValue::from_static(host),
                port,
            )
        };
        assert!(is_same("a", "A:80", ":80"));
        assert!(is_same("a:443", "a", ":443"));
        assert!(!is_same("a", "a:443", ":80"));
        assert!(!is_same("a", "b", ":80"));
    }
}

//! The protocols that are negotiated with TLS.

use super::TlsConfigError;

/// The most bytes that all protocols take with their lengths. A record has room for twice that.
const MOST: usize = 8 * 1024;

/// Checks names of protocols (RFC 7301, section 3.1).
pub(crate) fn checked(protocols: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, TlsConfigError> {
    let mut len = 0;
    for protocol in protocols {
        len += 1 + protocol.len();
        if !(1..=255).contains(&protocol.len()) || len > MOST {
            let protocol = protocol.clone();
            return Err(TlsConfigError::Alpn { protocol });
        }
    }
    Ok(protocols.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_have_1_to_255_bytes_and_8_kib_in_all() {
        let checks = |lens: &[usize]| {
            let protocols: Vec<_> = lens.iter().map(|len| vec![b'x'; *len]).collect();
            checked(&protocols).map(|checked| assert_eq!(checked, protocols))
        };
        assert!(checks(&[]).is_ok() && checks(&[1, 255, 2]).is_ok() && checks(&[255; 32]).is_ok());
        for bad in [&[0][..], &[256], &[2, 0], &[255; 33]] {
            let error = checks(bad).unwrap_err().to_string();
            assert!(error.contains("1 to 255 bytes"), "{error}");
        }
    }
}

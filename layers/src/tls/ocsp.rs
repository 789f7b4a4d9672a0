//! OCSP responses (RFC 6960) that are stapled to certificates.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_rustls::rustls::sign::CertifiedKey;
use x509_parser::{
    asn1_rs::Any,
    prelude::{FromDer, X509Certificate},
    time::ASN1Time,
};

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const ENUMERATED: u8 = 0x0a;
const SEQUENCE: u8 = 0x30;
/// The context-specific tags 0 to 2, constructed, and those that are not.
const CONTEXT: [u8; 3] = [0xa0, 0xa1, 0xa2];
const GOOD: u8 = 0x80;
const REVOKED: u8 = 0xa1;

/// `id-pkix-ocsp-basic`: section 4.2.1.
const BASIC: [u8; 9] = [0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];

/// What a response says about one certificate: section 4.2.1.
struct Single<'a> {
    serial: &'a [u8],
    /// The tag of the status.
    status: u8,
    next_update: Option<SystemTime>,
}

/// Returns until when the response is valid for the certificate of `key`, if it says so, or what is
/// wrong with the response.
pub(super) fn check(
    response: &[u8],
    key: &CertifiedKey,
) -> Result<Option<SystemTime>, &'static str> {
    let Some(singles) = singles(response) else {
        return Err("expected a successful response in DER, as `openssl ocsp -respout` writes it");
    };
    let own = key.cert.first().and_then(|own| {
        let (_, own) = X509Certificate::from_der(own).ok()?;
        singles.iter().find(|one| one.serial == own.raw_serial())
    });
    match own {
        None => Err("it is for another certificate"),
        Some(Single { status, .. }) if *status == REVOKED => Err("the certificate was revoked"),
        Some(Single { status, .. }) if *status != GOOD => {
            Err("it does not know the status of the certificate")
        }
        Some(Single { next_update, .. }) => Ok(*next_update),
    }
}

/// Returns what a successful response says about each certificate.
fn singles(mut response: &[u8]) -> Option<Vec<Single<'_>>> {
    let mut fields = take(&mut response, SEQUENCE)?;
    let is_successful = take(&mut fields, ENUMERATED)? == [0];
    let mut bytes = take(&mut take(&mut fields, CONTEXT[0])?, SEQUENCE)?;
    let is_basic = take(&mut bytes, OBJECT_ID)? == BASIC;
    if !response.is_empty() || !is_successful || !is_basic {
        return None;
    }
    let mut basic = take(&mut take(&mut bytes, OCTETS)?, SEQUENCE)?;
    let mut data = take(&mut basic, SEQUENCE)?;
    // The version, the responder and the time of the response.
    let _ = take(&mut data, CONTEXT[0]);
    take(&mut data, CONTEXT[1]).or_else(|| take(&mut data, CONTEXT[2]))?;
    time(&mut data)?;
    let mut rest = take(&mut data, SEQUENCE)?;
    let mut singles = Vec::new();
    while !rest.is_empty() {
        singles.push(single(take(&mut rest, SEQUENCE)?)?);
    }
    Some(singles)
}

fn single(mut fields: &[u8]) -> Option<Single<'_>> {
    let mut id = take(&mut fields, SEQUENCE)?;
    // The hash function, and the hashes of the authority's name and key.
    take(&mut id, SEQUENCE)?;
    take(&mut id, OCTETS)?;
    take(&mut id, OCTETS)?;
    let status = *fields.first()?;
    let serial = take(&mut id, INTEGER)?;
    take(&mut fields, status)?;
    time(&mut fields)?;
    let next_update = match take(&mut fields, CONTEXT[0]) {
        Some(mut next) => Some(time(&mut next)?),
        None => None,
    };
    Some(Single {
        serial,
        status,
        next_update,
    })
}

/// Takes the next element, if it has this tag, and returns its contents.
fn take<'a>(der: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    if der.first() != Some(&tag) {
        return None;
    }
    let (rest, element) = Any::from_der(der).ok()?;
    *der = rest;
    Some(element.data)
}

fn time(der: &mut &[u8]) -> Option<SystemTime> {
    let (rest, time) = ASN1Time::from_der(der).ok()?;
    *der = rest;
    let seconds = u64::try_from(time.timestamp()).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

//! Unix socket addresses in the format of `sun_path`, `unix(7)`.

use std::{borrow::Cow, ffi::OsStr, path::Path};

/// Parses a path, which ends at the first zero. A leading zero marks a name in Linux' abstract
/// namespace, which is written with `@`, or no name at all. Some senders write the `@` themselves,
/// in which case an `@` alone is no name.
pub(super) fn parse(bytes: &[u8]) -> reagent::Addr {
    let end = |bytes: &[u8]| {
        bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |i| i + 1)
    };
    let path = match bytes {
        [0, name @ ..] if end(name) == 0 => None,
        [0, name @ ..] => Some([b"@", &name[..end(name)]].concat()),
        _ => {
            let path = bytes.split(|byte| *byte == 0).next();
            path.filter(|path| *path != b"@").map(<[u8]>::to_vec)
        }
    };
    reagent::Addr::Unix(path.map(|path| Path::new(&*os_str(&path)).into()))
}

pub(super) fn encode(path: Option<&Path>) -> Vec<u8> {
    let mut bytes = path.map_or_else(Vec::new, |path| {
        path.as_os_str().as_encoded_bytes().to_vec()
    });
    if let Some(first @ b'@') = bytes.first_mut() {
        *first = 0;
    }
    bytes
}

#[cfg(unix)]
fn os_str(bytes: &[u8]) -> Cow<'_, OsStr> {
    Cow::Borrowed(std::os::unix::ffi::OsStrExt::from_bytes(bytes))
}

#[cfg(not(unix))]
fn os_str(bytes: &[u8]) -> Cow<'_, OsStr> {
    Cow::Owned(String::from_utf8_lossy(bytes).into_owned().into())
}

//! Host names.

/// RFC 1035, section 2.3.4, without the dot of the root and the length bytes.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// Returns the name in lower case and without a trailing dot, if it is a host name. Underscores are
/// accepted: they are not allowed in host names, but are in use.
pub(crate) fn normal(name: &str) -> Option<Box<str>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    (name.len() <= MAX_NAME && name.split('.').all(is_label))
        .then(|| name.to_ascii_lowercase().into())
}

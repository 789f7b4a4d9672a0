//! A map keyed by the names that clients ask for (SNI, RFC 6066).

use super::host_name::normal;
use std::collections::HashMap;

/// A map whose keys are host names and wildcards. A wildcard, `*.` and a host name, matches any
/// name with exactly one more label.
///
/// Names are compared without regard to case or to a trailing dot. Underscores are accepted: they
/// are not allowed in host names, but are in use.
#[derive(Clone, Debug)]
pub(crate) struct Names<V> {
    exact: HashMap<Box<str>, V>,
    /// Keyed by what follows the `*.`.
    wildcard: HashMap<Box<str>, V>,
}

/// The error of a name that is neither a host name nor a wildcard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidName;

impl<V> Names<V> {
    /// Adds a value, replacing an earlier one for the same name.
    pub(crate) fn insert(&mut self, name: &str, value: V) -> Result<(), InvalidName> {
        let (names, bare) = match name.strip_prefix("*.") {
            Some(rest) => (&mut self.wildcard, rest),
            None => (&mut self.exact, name),
        };
        names.insert(normal(bare).ok_or(InvalidName)?, value);
        Ok(())
    }

    /// Returns the value of the exact name, or else of the wildcard that matches it.
    ///
    /// `name` must be in lower case, as TLS libraries provide it.
    pub(crate) fn get(&self, name: &str) -> Option<&V> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let of_wildcard = || self.wildcard.get(name.split_once('.')?.1);
        self.exact.get(name).or_else(of_wildcard)
    }

    /// Returns the names in the form that is compared, wildcards without their `*.`.
    #[cfg(feature = "tls")]
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.exact
            .keys()
            .chain(self.wildcard.keys())
            .map(|key| &**key)
    }
}

impl<V> Default for Names<V> {
    fn default() -> Self {
        Names {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_name_goes_before_a_wildcard_of_one_label() {
        let mut names = Names::default();
        for (value, name) in ["A.Example.org", "*.example.org.", "_x.test"]
            .iter()
            .enumerate()
        {
            names.insert(name, value).unwrap();
        }
        for (name, value) in [
            ("a.example.org", Some(0)),
            ("a.example.org.", Some(0)),
            ("b.example.org", Some(1)),
            ("x.b.example.org", None),
            ("example.org", None),
            ("_x.test", Some(2)),
        ] {
            assert_eq!(names.get(name).copied(), value, "{name}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(64);
        for name in [
            "", ".", "*", "*.", "a..b", "a b", "*.*.org", "a.*.org", "a:1", &long,
        ] {
            assert_eq!(
                Names::default().insert(name, ()),
                Err(InvalidName),
                "{name}"
            );
        }
    }
}

//! The values of options, which are read from the command line as text and from a file as TOML.

use reagent::BoxError;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

/// A time in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seconds(pub Duration);

impl Seconds {
    fn new(seconds: f64) -> Result<Self, BoxError> {
        Ok(Seconds(Duration::try_from_secs_f64(seconds)?))
    }
}

impl FromStr for Seconds {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        Seconds::new(text.parse()?)
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_secs_f64().fmt(f)
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.subsec_nanos() {
            0 => serializer.serialize_u64(self.0.as_secs()),
            _ => serializer.serialize_f64(self.0.as_secs_f64()),
        }
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecondsVisitor)
    }
}

struct SecondsVisitor;

impl de::Visitor<'_> for SecondsVisitor {
    type Value = Seconds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of seconds")
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Seconds, E> {
        Seconds::new(seconds).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Seconds, E> {
        self.visit_f64(seconds as f64)
    }
}

/// A time limit, which must not be 0, because 0 would end every connection at once.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(try_from = "Seconds", into = "Seconds")]
pub struct TimeLimit(pub Duration);

impl TryFrom<Seconds> for TimeLimit {
    type Error = &'static str;

    fn try_from(Seconds(limit): Seconds) -> Result<Self, Self::Error> {
        match limit {
            Duration::ZERO => Err("must be greater than 0; omit the option for no limit"),
            limit => Ok(TimeLimit(limit)),
        }
    }
}

impl From<TimeLimit> for Seconds {
    fn from(TimeLimit(limit): TimeLimit) -> Self {
        Seconds(limit)
    }
}

impl FromStr for TimeLimit {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        Ok(text.parse::<Seconds>()?.try_into()?)
    }
}

/// A text that is not in logs.
#[derive(Clone, Deserialize, PartialEq, Serialize)]
#[serde(try_from = "String")]
pub struct Secret(pub String);

impl TryFrom<String> for Secret {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.is_empty() {
            true => Err("must not be empty"),
            false => Ok(Secret(text)),
        }
    }
}

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The address of an upstream.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    Tcp(SocketAddr),
    /// Resolved for every connection, so that the upstream may move.
    Name(String),
    Unix(PathBuf),
}

impl FromStr for Target {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = unix_path(text) {
            return Ok(Target::Unix(path.into()));
        }
        match (text.parse(), text.rsplit_once(':')) {
            (Ok(addr), _) => Ok(Target::Tcp(addr)),
            (_, Some((host, port))) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(Target::Name(text.to_owned()))
            }
            _ => Err("expected HOST:PORT or the path of a Unix socket"),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
            .map_err(|error| format!("invalid address {text:?}: {error}"))
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tcp(addr) => addr.fmt(f),
            Target::Name(name) => name.fmt(f),
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Returns the path in `text`, which may have the prefix `unix:`.
pub fn unix_path(text: &str) -> Option<&Path> {
    let path = text.strip_prefix("unix:").unwrap_or(text);
    path.starts_with('/').then_some(Path::new(path))
}

/// Lists items after `title`, or returns an empty text if the list is empty.
pub fn join(title: &str, items: impl IntoIterator<Item: fmt::Display>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    match &*items {
        [] => String::new(),
        items => format!("{title}{}", items.join(", ")),
    }
}

/// A list in a file: an array of strings, or one string.
pub mod list {
    use super::{Deserialize, Deserializer, FromStr, Serializer, de, fmt};
    use std::{fmt::Display, marker::PhantomData};

    pub fn serialize<T: Display, S: Serializer>(
        items: &[T],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(items.iter().map(T::to_string))
    }

    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        deserializer.deserialize_any(List(PhantomData))
    }

    struct List<T>(PhantomData<T>);

    impl<'de, T: FromStr<Err: Display>> de::Visitor<'de> for List<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string or an array of strings")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            Ok(vec![text.parse().map_err(E::custom)?])
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut items = Vec::new();
            while let Some(Item(item)) = seq.next_element()? {
                items.push(item);
            }
            Ok(items)
        }
    }

    /// One item.
    struct Item<T>(T);

    impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Item<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            Ok(Item(text.parse().map_err(de::Error::custom)?))
        }
    }
}

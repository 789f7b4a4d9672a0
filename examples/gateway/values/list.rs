//! A list in a file: an array of strings, or one string.

use serde::{Deserialize, Deserializer, Serializer, de};
use std::{
    fmt::{self, Display},
    marker::PhantomData,
    str::FromStr,
};

pub fn serialize<T: Display, S: Serializer>(items: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(items.iter().map(T::to_string))
}

pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(List(PhantomData))
}

/// A list with at least one item.
pub mod some {
    pub use super::serialize;
    use serde::{Deserializer, de};
    use std::{fmt::Display, str::FromStr};

    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let items = super::deserialize(deserializer)?;
        match items.is_empty() {
            true => Err(de::Error::custom(
                "the list is empty; leave it out to match all",
            )),
            false => Ok(items),
        }
    }
}

/// A list of paths.
pub mod paths {
    pub use super::deserialize;
    use serde::Serializer;
    use std::path::PathBuf;

    pub fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(paths)
    }
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

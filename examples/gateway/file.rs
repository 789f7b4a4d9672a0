//! A configuration file, and the place of a mistake in it.

use crate::{
    listener::{Listener, Route},
    options::Global,
};
use reagent::BoxError;
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor, value},
    forward_to_deserialize_any,
};
use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};
use toml::{
    Spanned, Table,
    de::{DeTable, DeValue},
};

/// The contents of a file.
pub struct File {
    path: PathBuf,
    text: String,
}

/// The `[[listener]]` tables, with their places.
#[derive(Deserialize)]
struct Listeners {
    #[serde(default)]
    listener: Vec<Spanned<Listener>>,
}

impl File {
    pub fn read(path: &Path) -> Result<Self, BoxError> {
        let explain = |error| format!("cannot read {}: {error}", path.display());
        // Anything else, such as a pipe, might never end or never begin.
        if !fs::metadata(path).map_err(explain)?.is_file() {
            return Err(format!("cannot read {}: expected a regular file", path.display()).into());
        }
        let text = fs::read_to_string(path).map_err(explain)?;
        Ok(File {
            path: path.to_owned(),
            text,
        })
    }

    /// Returns the contents without places.
    pub fn table(&self) -> Result<Table, BoxError> {
        self.parse()
    }

    /// Checks every key and value, and returns the line of each listener.
    pub fn check(&self) -> Result<Vec<usize>, BoxError> {
        let top = DeTable::parse(&self.text).map_err(|error| self.invalid(&error))?;
        self.check_keys(top.get_ref())?;
        self.parse::<Global>()?;
        self.parse::<Listener>()?;
        let tables = self.parse::<Listeners>()?.listener;
        Ok(tables.iter().map(|table| self.line(table.span())).collect())
    }

    fn parse<'de, T: Deserialize<'de>>(&'de self) -> Result<T, BoxError> {
        toml::from_str(&self.text).map_err(|error| self.invalid(&error))
    }

    fn check_keys(&self, top: &DeTable<'_>) -> Result<(), BoxError> {
        let (global, listener, route) = (keys::<Global>(), keys::<Listener>(), keys::<Route>());
        self.check_table(top, &[global, listener, &["listener"]].concat())?;
        for routes in tables(top, "route") {
            self.check_table(routes, route)?;
        }
        for table in tables(top, "listener") {
            self.check_table(table, listener)?;
            for routes in tables(table, "route") {
                self.check_table(routes, route)?;
            }
        }
        Ok(())
    }

    fn check_table(&self, table: &DeTable<'_>, known: &[&str]) -> Result<(), BoxError> {
        for key in table.keys() {
            let name = &**key.get_ref();
            if !known.contains(&name) {
                let problem = format!("unknown key `{name}`{}", hint(name, known));
                return Err(self.error(Some(key.span()), &problem));
            }
        }
        Ok(())
    }

    fn invalid(&self, error: &toml::de::Error) -> BoxError {
        let at = error.span();
        let key = at.clone().and_then(|at| self.key(at));
        let problem = match key {
            Some(key) => format!("invalid `{key}`: {}", error.message()),
            None => error.message().to_owned(),
        };
        self.error(at, &problem)
    }

    fn error(&self, at: Option<Range<usize>>, problem: &str) -> BoxError {
        let path = self.path.display();
        match at {
            Some(at) => format!("{path}, line {}: {problem}", self.line(at)).into(),
            None => format!("{path}: {problem}").into(),
        }
    }

    fn line(&self, at: Range<usize>) -> usize {
        1 + self.text[..at.start].matches('\n').count()
    }

    /// Returns the key of the value at this place.
    fn key(&self, at: Range<usize>) -> Option<String> {
        let top = DeTable::parse(&self.text).ok()?;
        let mut tables = vec![top.get_ref()];
        let holds = |value: &Spanned<DeValue<'_>>| {
            value.span().start <= at.start && at.end <= value.span().end
        };
        while let Some(table) = tables.pop() {
            for (key, value) in table {
                match value.get_ref() {
                    DeValue::Array(array) if array.iter().any(|item| item.get_ref().is_table()) => {
                        tables.extend(array.iter().filter_map(|item| item.get_ref().as_table()));
                    }
                    _ if holds(value) => return Some(key.get_ref().clone().into_owned()),
                    _ => {}
                }
            }
        }
        None
    }
}

/// Returns the tables of an array of tables.
fn tables<'t, 'i>(
    table: &'t DeTable<'i>,
    key: &str,
) -> impl Iterator<Item = &'t DeTable<'i>> + use<'t, 'i> {
    let array = table.get(key).and_then(|value| value.get_ref().as_array());
    let items = array.into_iter().flat_map(|array| array.iter());
    items.filter_map(|item| item.get_ref().as_table())
}

/// Suggests the known key that is nearest to `name`, within the distance that rustc allows.
fn hint(name: &str, known: &[&str]) -> String {
    let distance = |known: &&&str| strsim::damerau_levenshtein(name, known);
    match known.iter().min_by_key(distance) {
        Some(near) if distance(&near) <= name.len().max(3) / 3 => {
            format!("; did you mean `{near}`?")
        }
        _ => String::new(),
    }
}

/// Returns the keys of the table that `T` is read from, which are its fields.
fn keys<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut keys: &[&str] = &[];
    let _ = T::deserialize(Fields(&mut keys));
    keys
}

/// A deserializer that only finds out the fields of a struct.
struct Fields<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, value::Error> {
        Err(value::Error::custom("not a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, value::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

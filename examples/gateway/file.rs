//! A configuration file, and the place of a mistake in it.

use crate::{
    explain::explain,
    options::{Global, Listener, Route, Source, keys},
};
use reagent::BoxError;
use serde::{Deserialize, de::DeserializeOwned};
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
        let text = fs::read(path).map_err(explain)?;
        let text = String::from_utf8(text)
            .map_err(|_| format!("cannot read {}: expected text in UTF-8", path.display()))?;
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
        Global::read(self)?;
        self.parse::<Listener>()?;
        let tables = self.parse::<Listeners>()?.listener;
        Ok(tables.iter().map(|table| self.line(table.span())).collect())
    }

    fn parse<'de, T: Deserialize<'de>>(&'de self) -> Result<T, BoxError> {
        toml::from_str(&self.text).map_err(|error| self.invalid(&error))
    }

    fn check_keys(&self, top: &DeTable<'_>) -> Result<(), BoxError> {
        let keys_of_listener = [keys::<Listener>(), owned(&Listener::KEYS)].concat();
        let known = [
            keys::<Global>(),
            keys_of_listener.clone(),
            owned(&["listener"]),
        ];
        self.check_table(top, &known.concat())?;
        self.check_routes(top)?;
        for table in self.tables(top, "listener", "[[listener]]")? {
            self.check_table(table, &keys_of_listener)?;
            self.check_routes(table)?;
        }
        Ok(())
    }

    fn check_routes(&self, table: &DeTable<'_>) -> Result<(), BoxError> {
        let known = owned(&Route::KEYS);
        for route in self.tables(table, "route", "[[listener.route]]")? {
            self.check_table(route, &known)?;
        }
        Ok(())
    }

    fn check_table(&self, table: &DeTable<'_>, known: &[String]) -> Result<(), BoxError> {
        for key in table.keys() {
            let name = &**key.get_ref();
            if !known.iter().any(|known| known == name) {
                let problem = format!("unknown key `{name}`{}", hint(name, known));
                return Err(self.error(Some(key.span()), &problem));
            }
        }
        Ok(())
    }

    /// Returns the tables of an array of tables, which is written as in `form`.
    fn tables<'t, 'i>(
        &self,
        table: &'t DeTable<'i>,
        key: &str,
        form: &str,
    ) -> Result<Vec<&'t DeTable<'i>>, BoxError> {
        let Some(value) = table.get(key) else {
            return Ok(Vec::new());
        };
        let items = value.get_ref().as_array().map(|array| array.iter());
        let tables = items.and_then(|items| items.map(|item| item.get_ref().as_table()).collect());
        tables.ok_or_else(|| {
            let problem = match value.get_ref() {
                DeValue::Table(_) => format!("`{key}` is a single table; write {form}"),
                _ => format!("invalid `{key}`: expected tables, each of which begins with {form}"),
            };
            self.error(Some(value.span()), &problem)
        })
    }

    fn invalid(&self, error: &toml::de::Error) -> BoxError {
        let at = error.span();
        let text = at.clone().and_then(|at| self.text.get(at));
        let problem = explain(error.message(), text.unwrap_or_default());
        let problem = match at.clone().and_then(|at| self.key(at)) {
            Some(key) => format!("invalid `{key}`: {problem}"),
            None => problem,
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

impl Source for File {
    fn read<T: DeserializeOwned>(&self) -> Result<T, BoxError> {
        self.parse()
    }
}

fn owned(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

/// Suggests the known key that is nearest to `name`, within the distance that rustc allows.
pub fn hint(name: &str, known: &[impl AsRef<str>]) -> String {
    let distance = |known: &&str| strsim::damerau_levenshtein(name, known);
    match known.iter().map(AsRef::as_ref).min_by_key(distance) {
        Some(near) if distance(&near) <= name.len().max(3) / 3 => {
            format!("; did you mean `{near}`?")
        }
        _ => String::new(),
    }
}

//! Keeps searches that people named: `searches.json` in the state directory, and not the database,
//! so that none is lost with it.

use crate::database::lock;
use crate::files::{self, failed};
use crate::query::Query;
use crate::store::{Store, StoreError, now_ms};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

const FILE: &str = "searches.json";
/// More than anybody finds again.
const MOST_SEARCHES: usize = 1000;
/// The longest name, characters.
const LONGEST_NAME: usize = 64;

/// A search with a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSearch {
    /// Its name.
    pub name: String,
    /// What it asks.
    pub query: String,
    /// When it was saved, milliseconds since the epoch.
    pub saved_at_ms: i64,
}

/// All of them, as they are in the file.
#[derive(Default)]
pub(crate) struct Searches {
    path: PathBuf,
    named: BTreeMap<String, SavedSearch>,
}

impl Searches {
    pub(crate) fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let path = state_dir.join(FILE);
        let named: Vec<SavedSearch> = files::read_json(&path)?.unwrap_or_default();
        Ok(Self {
            path,
            named: named.into_iter().map(|s| (s.name.clone(), s)).collect(),
        })
    }

    /// Writes the file, then lets the change count.
    fn replace(&mut self, named: BTreeMap<String, SavedSearch>) -> Result<(), StoreError> {
        let list: Vec<&SavedSearch> = named.values().collect();
        let json = serde_json::to_vec_pretty(&list)
            .map_err(io::Error::from)
            .map_err(failed("cannot write", &self.path))?;
        files::write_whole(&self.path, &json)?;
        self.named = named;
        Ok(())
    }
}

impl Store {
    /// All saved searches by name; none within a scope, for they name what others look after.
    pub fn searches(&self) -> Vec<SavedSearch> {
        if !self.sight().scope.is_everything() {
            return vec![];
        }
        lock(&self.inner.searches).named.values().cloned().collect()
    }

    /// The search of a name.
    pub fn search(&self, name: &str) -> Result<SavedSearch, StoreError> {
        let found = self
            .searches()
            .into_iter()
            .find(|search| search.name == name);
        found.ok_or(StoreError::NotFound("saved search"))
    }

    /// Saves a search under a name, in the place of one that had it. The query must be one.
    pub fn save_search(&self, name: &str, query: &str) -> Result<SavedSearch, StoreError> {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        let length = name.chars().count();
        if length == 0 || length > LONGEST_NAME || !name.chars().all(plain) {
            return Err(StoreError::Refused(format!(
                "the name of a search is 1 to {LONGEST_NAME} letters, digits, \"-\", \"_\" and \".\""
            )));
        }
        if Query::parse(query).map_err(StoreError::Query)? == Query::default() {
            return Err(StoreError::Refused(
                "the search asks for nothing".to_owned(),
            ));
        }
        let search = SavedSearch {
            name: name.to_owned(),
            query: query.trim().to_owned(),
            saved_at_ms: now_ms(),
        };
        let mut searches = lock(&self.inner.searches);
        let mut named = searches.named.clone();
        named.insert(search.name.clone(), search.clone());
        if named.len() > MOST_SEARCHES {
            return Err(StoreError::Refused(format!(
                "there are {MOST_SEARCHES} searches: remove one"
            )));
        }
        searches.replace(named)?;
        Ok(search)
    }

    /// Removes a saved search, and says what it was.
    pub fn remove_search(&self, name: &str) -> Result<SavedSearch, StoreError> {
        let mut searches = lock(&self.inner.searches);
        let mut named = searches.named.clone();
        let removed = named
            .remove(name)
            .ok_or(StoreError::NotFound("saved search"))?;
        searches.replace(named)?;
        Ok(removed)
    }
}

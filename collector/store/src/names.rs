//! What analyses found out about the code of builds, so that a build's next crash costs little.
//!
//! Files of JSON under a key that their maker chooses; only to save time: each may be lost at any
//! moment.

use crate::files::{self, failed};
use crate::store::{Store, StoreError};
use aground_helper::layout;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file larger than this is not kept, bytes.
const FILE_MAX: usize = 8 << 20;
/// All files together; beyond, those go that were not written for the longest time. Bytes.
const ALL_MAX: u64 = 256 << 20;

impl Store {
    /// What is known under a key.
    pub fn names(&self, key: &str) -> Result<Option<File>, StoreError> {
        files::open_optional(&self.names_path(key)?)
    }

    /// Keeps what is known under a key, in place of what was.
    pub fn keep_names(&self, key: &str, json: &[u8]) -> Result<(), StoreError> {
        let path = self.names_path(key)?;
        if json.len() > FILE_MAX {
            return Ok(());
        }
        files::write_whole(&path, json)?;
        let directory = self.state_dir().join(layout::NAMES);
        make_room(&directory).map_err(failed("cannot make room in", &directory))
    }

    fn names_path(&self, key: &str) -> Result<PathBuf, StoreError> {
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(StoreError::NotFound("names"));
        }
        Ok(self.state_dir().join(layout::NAMES).join(key))
    }
}

fn make_room(directory: &Path) -> std::io::Result<()> {
    let mut found: Vec<(SystemTime, u64, PathBuf)> = vec![];
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let data = entry.metadata()?;
        found.push((data.modified()?, data.len(), entry.path()));
    }
    let mut all: u64 = found.iter().map(|(_, bytes, _)| bytes).sum();
    found.sort();
    for (_, bytes, path) in found {
        if all <= ALL_MAX {
            break;
        }
        fs::remove_file(path)?;
        all = all.saturating_sub(bytes);
    }
    Ok(())
}

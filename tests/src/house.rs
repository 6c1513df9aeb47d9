//! Knows the repository: where it is, what files it has, where the built programs lie.

use std::fs;
use std::path::{Path, PathBuf};

/// Top of the repository.
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package
        .parent()
        .expect("tests is a package of a workspace")
        .to_owned()
}

/// Where cargo puts the programs of this build (`target/debug`): two above the test binary.
pub fn build_dir() -> PathBuf {
    let test = std::env::current_exe().expect("own path");
    let deps = test.parent().expect("deps");
    deps.parent().expect("target/debug").to_owned()
}

/// A program of this build.
#[track_caller]
pub fn program(name: &str) -> PathBuf {
    let path = build_dir().join(name);
    assert!(
        path.exists(),
        "{} is not built: run ./tests/run, or cargo build --workspace first",
        path.display()
    );
    path
}

/// All files below a directory, in a fixed order.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else {
        return found;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

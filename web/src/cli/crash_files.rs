//! The files that explain one crash, laid out as debuggers want them: `core`, `sysroot` with the
//! modules where the process saw them, `debug` with symbols by build ID.
//!
//! Paths of modules were chosen by a hostile process: only their plain components count.

use super::session::Failure;
use crate::client::encode;
use aground_store::symbols::SymbolFile;
use aground_store::types::Dump;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Component, Path, PathBuf};

/// The core's name.
pub(super) const CORE: &str = "core";
/// Where modules are.
pub(super) const SYSROOT: &str = "sysroot";
/// Where symbols are.
pub(super) const DEBUG: &str = "debug";
/// Where libraries are by the names that programs open them by.
pub(super) const LIBRARIES: &str = "libs";

/// A file beside the core.
pub(super) struct Part {
    /// What to ask the daemon for.
    pub(super) target: String,
    /// Where it belongs, such as `sysroot/usr/lib/libc.so.6`.
    pub(super) below: PathBuf,
    /// Whether the others are of use without it.
    pub(super) optional: bool,
}

/// All files beside the core, each place once.
pub(super) fn parts(dump: &Dump, uploaded: &[SymbolFile]) -> Vec<Part> {
    let id = &dump.summary.id;
    let by_id: BTreeMap<&str, &SymbolFile> = uploaded
        .iter()
        .map(|file| (&*file.build_id, file))
        .collect();
    let mut places = BTreeSet::new();
    let mut parts = Vec::new();
    let mut add = |below: PathBuf, target: String, optional| {
        let fresh = places.insert(below.clone());
        if fresh {
            parts.push(Part {
                target,
                below,
                optional,
            });
        }
        fresh
    };
    for module in &dump.record.modules {
        let (Some(sha256), Some(below)) = (&module.sha256, plain(&module.path)) else {
            continue;
        };
        let target = format!("/api/v1/dumps/{id}/modules/{}", encode(sha256));
        if !add(Path::new(SYSROOT).join(below), target, true) {
            continue;
        }
        let mut wanted = module.build_id.as_deref();
        while let Some(file) = wanted.and_then(|build_id| by_id.get(build_id)) {
            let target = format!("/api/v1/symbols/{}", encode(&file.build_id));
            if !add(by_build_id(&file.build_id), target, false) {
                break;
            }
            wanted = file.shared.as_deref();
        }
    }
    for file in &dump.record.debug_files {
        if let (Some(sha256), Some(build_id)) = (&file.sha256, &file.build_id) {
            let target = format!("/api/v1/dumps/{id}/modules/{}", encode(sha256));
            // What somebody handed in is preferred, as by the analysis.
            add(by_build_id(build_id), target, false);
        }
    }
    parts
}

/// Where the executable is below `place`, if it is there.
pub(super) fn executable(dump: &Dump, place: &Path) -> Option<PathBuf> {
    let report = dump.report.as_ref();
    let said = report.and_then(|report| report.process.executable.as_deref());
    // In a root directory of its own a process sees other paths than the host.
    let seen = [said, dump.record.process.executable.as_deref()];
    let seen = seen.into_iter().flatten().filter_map(plain);
    let mut paths = seen.map(|below| place.join(SYSROOT).join(below));
    paths.find(|path| path.exists())
}

/// A path of the dead process, to be put below a directory of ours: without root, `.` and `..`.
pub(super) fn plain(path: &str) -> Option<PathBuf> {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let below: PathBuf = Path::new(path)
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect();
    (!below.as_os_str().is_empty()).then_some(below)
}

fn by_build_id(build_id: &str) -> PathBuf {
    let (head, rest) = build_id.split_at_checked(2).unwrap_or((build_id, ""));
    let directory = Path::new(DEBUG).join(".build-id").join(head);
    directory.join(format!("{rest}.debug"))
}

/// The directory of one session; it goes with the session unless somebody named it.
pub(super) struct Place {
    pub(super) path: PathBuf,
    keep: bool,
}

impl Place {
    pub(super) fn new(named: Option<&Path>) -> Result<Self, Failure> {
        let path = match named {
            Some(path) => std::path::absolute(path)?,
            None => std::env::temp_dir().join(format!("aground-debug-{}", std::process::id())),
        };
        // An old one would mix two dumps, and one that somebody else made could hold links.
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| cannot("make", &path, &error))?;
        Ok(Self {
            path,
            keep: named.is_some(),
        })
    }

    /// A path below it, in a directory that is there now.
    pub(super) fn file(&self, below: &Path) -> Result<PathBuf, Failure> {
        let path = self.path.join(below);
        if let Some(parent) = path.parent() {
            make_directories(parent)?;
        }
        Ok(path)
    }

    /// Gives a module, if it is a library, the names by which the dynamic linker may have opened
    /// it: its path leads through links that are not here. `libz.so.1.2.13` is also `libz.so.1`.
    pub(super) fn name_library(&self, file: &Path) -> Result<(), Failure> {
        let libraries = self.path.join(LIBRARIES);
        make_directories(&libraries)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let mut name: &str = &name;
        loop {
            match symlink(file, libraries.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(cannot("link", file, &error));
                }
                _ => {}
            }
            match name.rsplit_once('.') {
                Some((shorter, number))
                    if shorter.contains(".so")
                        && number.bytes().all(|byte| byte.is_ascii_digit()) =>
                {
                    name = shorter;
                }
                _ => return Ok(()),
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keep {
            // Nobody is left to tell.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn make_directories(path: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| cannot("make", path, &error))
}

/// A failure with a file.
pub(super) fn cannot(action: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::Message(format!("cannot {action} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn no_path_of_a_process_leads_out() {
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(plain(path), expected.map(PathBuf::from), "{path}");
        };
        check("/usr/lib/libc.so.6", Some("usr/lib/libc.so.6"));
        check("/../../etc/../passwd", Some("etc/passwd"));
        check("/app/server (deleted)", Some("app/server"));
        check("/", None);
        check("", None);
    }

    #[test]
    fn a_library_has_the_names_of_its_links() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::new(Some(&directory.path().join("place"))).unwrap();
        let file = place.file(Path::new("libz.so.1.2")).unwrap();
        fs::write(&file, "z").unwrap();
        place.name_library(&file).unwrap();
        place.name_library(&file).unwrap();
        let libraries = place.path.join(LIBRARIES);
        for name in ["libz.so.1.2", "libz.so.1", "libz.so"] {
            assert_eq!(fs::read(libraries.join(name)).unwrap(), b"z");
        }
        assert!(!libraries.join("libz").exists());
    }
}

//! Takes the debug files that the container itself has of its modules, from
//! `/usr/lib/debug/.build-id` as the process saw it: they name its frames when nobody else has
//! them. Off unless the operator gives them a budget.
//!
//! What the container has there is its own affair: a path is looked up inside its root only, by a
//! child that may hang, and a file is kept only if it is regular, everybody may read it, and its
//! build ID is the module's.

use super::elf::{FileKind, file_kind};
use super::modules::{Source, unread_at};
use super::reader::{HeldFile, Look, PATIENCE, Reader};
use crate::record::Module;
use crate::spool::Entry;
use rustix::fs::{FileType, Mode, OFlags};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Where distributions keep separate debug files.
const DIRECTORY: &str = "usr/lib/debug/.build-id";
/// Most files looked for; each costs a descriptor.
const MOST: usize = 256;

/// Holds the process's root directory, without touching it.
pub fn hold_root(proc: impl AsFd) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(proc, "root", flags, Mode::empty())?)
}

/// Copies into `entry` the debug files of `modules` that lie beneath `root`, as long as all
/// together have at most `budget` bytes. One that does not count says why; of one that is not
/// there nothing is said.
pub fn keep(
    root: &OwnedFd,
    modules: &[Module],
    entry: &Entry,
    reserve: u64,
    budget: u64,
) -> Vec<Module> {
    let mut asked = BTreeSet::new();
    let build_ids = modules
        .iter()
        .filter_map(|module| module.build_id.as_deref());
    let wanted: Vec<(&str, HeldFile)> = build_ids
        .filter(|id| asked.insert(*id))
        .take(MOST)
        .filter_map(|id| Some((id, beneath(root, &path_of(id)?)?)))
        .collect();
    let held = wanted.iter().map(|(_, file)| file).collect();
    let mut reader = Reader::new(held, PATIENCE);
    let mut left = budget;
    let mut found = Vec::new();
    for (number, (build_id, _)) in wanted.iter().enumerate() {
        let mut file = unread_at(&format!("/{}", path_of(build_id).unwrap_or_default()));
        let mut source = Source::new(&mut reader, number);
        let Ok(look) = source.look() else { continue };
        match take(&mut source, look, build_id, entry, reserve, left, &mut file) {
            Ok(()) => left = left.saturating_sub(look.size),
            Err(why) => file.missing = Some(why),
        }
        found.push(file);
    }
    found
}

fn take(
    source: &mut Source<'_, '_>,
    look: Look,
    build_id: &str,
    entry: &Entry,
    reserve: u64,
    left: u64,
    file: &mut Module,
) -> Result<(), String> {
    file.size = Some(look.size);
    if FileType::from_raw_mode(look.mode) != FileType::RegularFile {
        return Err("it is no regular file".to_owned());
    }
    if look.mode & Mode::ROTH.bits() == 0 {
        return Err("not everybody may read it".to_owned());
    }
    if look.size > left {
        return Err(format!(
            "it has {} bytes, {left} were left for it",
            look.size
        ));
    }
    match file_kind(&mut source.file()) {
        Ok(FileKind::Elf(found)) if found.as_deref() == Some(build_id) => {}
        Ok(_) => return Err("its build ID is another".to_owned()),
        Err(error) => return Err(format!("it could not be read: {error}")),
    }
    file.build_id = Some(build_id.to_owned());
    source.copy(look, entry, reserve, file)
}

/// A build ID comes from the container: it becomes a path only as hexadecimal.
fn path_of(build_id: &str) -> Option<String> {
    let (head, rest) = build_id.split_at_checked(2)?;
    let hexadecimal = build_id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (hexadecimal && (2..=128).contains(&rest.len()))
        .then(|| format!("{DIRECTORY}/{head}/{rest}.debug"))
}

fn beneath(root: &OwnedFd, path: &str) -> Option<HeldFile> {
    Some(HeldFile {
        fd: root.try_clone().ok()?,
        device: b"root".to_vec(),
        beneath: Some(path.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::path_of;

    #[test]
    fn only_build_ids_become_paths() {
        assert_eq!(
            path_of("abcdef").as_deref(),
            Some("usr/lib/debug/.build-id/ab/cdef.debug")
        );
        for id in [
            "",
            "ab",
            "abc",
            "../../..",
            "abcd/e",
            "ü0ü0",
            &"a".repeat(131),
        ] {
            assert_eq!(path_of(id), None, "{id}");
        }
    }
}

//! Takes the ELF files the process had mapped: the very inodes, deleted or replaced since.
//!
//! Two steps. [`open_mapped`] runs while the kernel holds the process and only opens; [`keep`]
//! reads, hashes and copies after the release, from the descriptors still held.

use super::elf::{FileKind, file_kind, hex};
use crate::record::Module;
use crate::spool::Entry;
use crate::text::escape_bytes;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

/// Most distinct files opened; each costs a descriptor until it is copied.
pub const MAX_FILES: usize = 4096;
/// Largest file copied.
const MAX_SIZE: u64 = 2 << 30;
/// Longest path kept.
const MAX_PATH: usize = 1024;

/// One distinct file in the memory map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedFile {
    /// Path as the map gives it, without the mark of a deleted file.
    pub path: Vec<u8>,
    /// Lowest mapped address.
    pub base: u64,
    /// First address after the last mapping.
    pub end: u64,
    /// Name of its first mapping in `map_files`.
    pub name: String,
}

/// The distinct files of a `/proc/P/maps` text, in the order of their lowest address.
///
/// The same device, inode and path is the same file. Lines that are not understood are skipped:
/// a path may hold anything but newlines, which the kernel writes as `\012`.
pub fn mapped_files(maps: &[u8]) -> Vec<MappedFile> {
    let mut files: Vec<MappedFile> = Vec::new();
    let mut index = HashMap::new();
    for (key, file) in maps.split(|b| *b == b'\n').filter_map(mapping) {
        let at = *index.entry(key).or_insert(files.len());
        match files.get_mut(at) {
            Some(known) => known.end = known.end.max(file.end),
            None => files.push(file),
        }
    }
    files
}

/// Device, inode and path, which together tell files apart.
type FileKey<'m> = (&'m [u8], &'m [u8], &'m [u8]);

/// `start-end perms offset dev inode   path`, for a mapping of a file.
fn mapping(line: &[u8]) -> Option<(FileKey<'_>, MappedFile)> {
    let mut rest = line;
    let mut field = || {
        let end = rest.iter().position(|b| *b == b' ')?;
        let (word, tail) = rest.split_at_checked(end)?;
        rest = tail.get(1..)?;
        Some(word)
    };
    let (range, _perms, _offset, device, inode) =
        (field()?, field()?, field()?, field()?, field()?);
    let path = rest.trim_ascii_start();
    if inode == b"0" || !path.starts_with(b"/") {
        return None;
    }
    let (base, end) = str::from_utf8(range).ok()?.split_once('-')?;
    let base = u64::from_str_radix(base, 16).ok()?;
    let end = u64::from_str_radix(end, 16).ok()?;
    let name = format!("{base:x}-{end:x}");
    let shown = path.strip_suffix(b" (deleted)").unwrap_or(path).to_vec();
    Some((
        (device, inode, path),
        MappedFile {
            path: shown,
            base,
            end,
            name,
        },
    ))
}

/// A mapped file and what opening it gave.
#[derive(Debug)]
pub struct OpenFile {
    mapped: MappedFile,
    opened: Result<OwnedFd, String>,
}

/// Opens every file of `maps` through `map_files` beneath the process's /proc directory: that is
/// the mapped inode itself, whatever its path means by now, in whichever mount namespace.
/// Devices and the like are left alone: opening them could do something.
pub fn open_mapped(proc: impl AsFd, maps: &[u8], problems: &mut Vec<String>) -> Vec<OpenFile> {
    let mut files = mapped_files(maps);
    if files.len() > MAX_FILES {
        problems.push(format!(
            "{} files were mapped, the first {MAX_FILES} were looked at",
            files.len()
        ));
        files.truncate(MAX_FILES);
    }
    files
        .into_iter()
        .filter_map(|mapped| open_one(&proc, mapped))
        .collect()
}

fn open_one(proc: &impl AsFd, mapped: MappedFile) -> Option<OpenFile> {
    let link = format!("map_files/{}", mapped.name);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = match rustix::fs::statat(proc, &link, AtFlags::empty()) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => return None,
        Ok(_) => rustix::fs::openat(proc, &link, flags, Mode::empty()),
        Err(error) => Err(error),
    };
    Some(OpenFile {
        mapped,
        opened: opened.map_err(|error| format!("it could not be opened: {error}")),
    })
}

/// Hashes the ELF files among `files` and copies into `entry` those that the module store lacks.
pub fn keep(files: Vec<OpenFile>, entry: &Entry, reserve: u64) -> Vec<Module> {
    files
        .into_iter()
        .filter_map(|file| keep_one(file, entry, reserve))
        .collect()
}

fn keep_one(file: OpenFile, entry: &Entry, reserve: u64) -> Option<Module> {
    let OpenFile { mapped, opened } = file;
    let mut module = Module {
        path: escape_bytes(&mapped.path, MAX_PATH),
        base: mapped.base,
        end: mapped.end,
        build_id: None,
        sha256: None,
        size: None,
        missing: None,
    };
    let taken = opened.and_then(|fd| {
        let mut file = File::from(fd);
        match file_kind(&file).map_err(|error| format!("it could not be read: {error}"))? {
            FileKind::Other => return Ok(false),
            FileKind::Elf(build_id) => module.build_id = build_id,
        }
        copy(&mut file, entry, reserve, &mut module).map(|()| true)
    });
    match taken {
        Ok(false) => None,
        Ok(true) => Some(module),
        // Whether a file that cannot be opened is ELF is not known: it is listed, not hidden.
        Err(missing) => Some(Module {
            missing: Some(missing),
            ..module
        }),
    }
}

fn copy(file: &mut File, entry: &Entry, reserve: u64, module: &mut Module) -> Result<(), String> {
    let failed = |error: io::Error| format!("it could not be copied: {error}");
    let metadata = file.metadata().map_err(failed)?;
    let size = metadata.len();
    module.size = Some(size);
    if size > MAX_SIZE {
        return Err(format!(
            "it has {size} bytes, more than {MAX_SIZE} are not copied"
        ));
    }
    let hash = transfer(file, size, &mut io::sink()).map_err(failed)?;
    if entry.has_module(&hash) {
        module.sha256 = Some(hash);
        return Ok(());
    }
    if entry.free_bytes() < reserve.saturating_add(size) {
        return Err("the disk is nearly full".to_owned());
    }
    // The file of a running container may change between the two readings: the name is the hash
    // of what was written.
    let public = metadata.mode() & Mode::ROTH.bits() != 0;
    let mut partial = entry.new_module(public).map_err(failed)?;
    let written = transfer(file, size, partial.file()).map_err(failed)?;
    partial.keep_as(&written).map_err(failed)?;
    module.sha256 = Some(written);
    Ok(())
}

/// Copies the first `size` bytes of `file` and returns their SHA-256.
fn transfer(file: &mut File, size: u64, target: &mut impl Write) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    file.seek(SeekFrom::Start(0))?;
    let mut source = file.take(size);
    loop {
        let read = match source.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let bytes = buffer.get(..read).unwrap_or_default();
        hash.update(bytes);
        target.write_all(bytes)?;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn mappings_of_one_file_become_one() {
        let maps = b"\
00400000-00401000 r--p 00000000 fd:00 42                                 /app/server
00401000-00405000 r-xp 00001000 fd:00 42                                 /app/server
01000000-01021000 rw-p 00000000 00:00 0                                  [heap]
7f0000000000-7f0000001000 r-xp 00000000 fd:00 7      /lib/a b.so (deleted)
7f0000002000-7f0000003000 rw-p 00000000 00:00 0
7f0000004000-7f0000005000 rw-p 00000000 00:01 99     /\xff\xfe
7ffff7fc0000-7ffff7fc2000 r-xp 00000000 00:00 0                          [vdso]
";
        let files = mapped_files(maps);
        let seen: Vec<_> = files
            .iter()
            .map(|f| (f.path.as_slice(), f.base, f.end, f.name.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                (
                    b"/app/server".as_slice(),
                    0x40_0000,
                    0x40_5000,
                    "400000-401000"
                ),
                (
                    b"/lib/a b.so",
                    0x7f00_0000_0000,
                    0x7f00_0000_1000,
                    "7f0000000000-7f0000001000"
                ),
                (
                    b"/\xff\xfe",
                    0x7f00_0000_4000,
                    0x7f00_0000_5000,
                    "7f0000004000-7f0000005000"
                ),
            ]
        );
    }

    #[test]
    fn lines_that_are_not_mappings_are_skipped() {
        for line in [
            "",
            " ",
            "x-y r-xp 0 0 1 /a",
            "1-2",
            "1 r-xp 0 0:0 1 /a",
            "\u{0}",
            "1-2 r-xp 0 0:0 0 /a",
        ] {
            assert_eq!(mapped_files(line.as_bytes()), [], "{line:?}");
        }
    }

    #[test]
    fn our_own_files_are_opened_but_devices_are_not() {
        let proc = crate::bounded::open_dir(std::path::Path::new("/proc/self")).unwrap();
        let maps = std::fs::read("/proc/self/maps").unwrap();
        let mut problems = Vec::new();
        let files = open_mapped(&proc, &maps, &mut problems);
        let me = std::env::current_exe().unwrap();
        let mine = files
            .iter()
            .find(|f| f.mapped.path == me.as_os_str().as_encoded_bytes())
            .unwrap();
        assert!(matches!(
            file_kind(mine.opened.as_ref().unwrap()).unwrap(),
            FileKind::Elf(Some(_))
        ));
        assert_eq!(problems, Vec::<String>::new());
    }
}

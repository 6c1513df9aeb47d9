//! Takes the ELF files the process had mapped: the very inodes, deleted or replaced since.
//!
//! Two steps. [`hold_mapped`] runs while the kernel holds the process and takes hold of the files
//! without touching them; [`keep`] reads, hashes and copies after the release.

use super::elf::{FileKind, file_kind, hex};
use super::reader::{FileOf, HeldFile, Look, PATIENCE, Reader};
use crate::bounded::ReadAt;
use crate::record::Module;
use crate::spool::Entry;
use crate::text::escape_bytes;
use rustix::fs::{FileType, Mode, OFlags};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::AsFd;

/// Most distinct files opened; each costs a descriptor until it is copied.
pub const MAX_FILES: usize = 4096;
/// Largest file copied.
const MAX_SIZE: u64 = 2 << 30;
/// Bytes hashed and copied at a time.
const PIECE: usize = 256 * 1024;
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
    /// The device its file system is on, as the map gives it.
    pub device: Vec<u8>,
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
            device: device.to_vec(),
        },
    ))
}

/// A mapped file, held or not.
#[derive(Debug)]
pub struct OpenFile {
    mapped: MappedFile,
    held: Result<HeldFile, String>,
}

/// Holds every file of `maps` through `map_files` beneath the process's /proc directory: that is
/// the mapped inode itself, whatever its path means by now, in whichever mount namespace.
///
/// Nothing is opened or even looked at (`O_PATH`): a file system that hangs would hold us, and
/// with us the process.
pub fn hold_mapped(proc: impl AsFd, maps: &[u8], problems: &mut Vec<String>) -> Vec<OpenFile> {
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
        .map(|mapped| hold(&proc, mapped))
        .collect()
}

fn hold(proc: &impl AsFd, mapped: MappedFile) -> OpenFile {
    let link = format!("map_files/{}", mapped.name);
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let held = rustix::fs::openat(proc, &link, flags, Mode::empty());
    let device = mapped.device.clone();
    OpenFile {
        mapped,
        held: held
            .map(|fd| HeldFile {
                fd,
                device,
                beneath: None,
            })
            .map_err(|error| format!("it could not be held: {error}")),
    }
}

/// Looks at the ELF files among `files` and copies into `entry` those that the module store
/// lacks, if they are `wanted`: without memory there is nothing to unwind with them, and a crash
/// loop must not have its program hashed every time.
pub fn keep(files: &[OpenFile], entry: &Entry, reserve: u64, wanted: bool) -> Vec<Module> {
    let held = files.iter().filter_map(|file| file.held.as_ref().ok());
    let mut reader = Reader::new(held.collect(), PATIENCE);
    let mut next = 0..;
    let mut modules = Vec::new();
    for file in files {
        let mut module = unread(&file.mapped);
        let read = match &file.held {
            Ok(_) => {
                let number = next.next().unwrap_or(usize::MAX);
                let mut source = Source::new(&mut reader, number);
                source.take(entry, reserve, wanted, &mut module)
            }
            Err(missing) => Err(missing.clone()),
        };
        match read {
            Ok(IsElf(true)) => modules.push(module),
            Ok(IsElf(false)) => {}
            // Whether a file that cannot be read is ELF is not known: it is listed, not hidden.
            Err(missing) => {
                module.missing = Some(missing);
                modules.push(module);
            }
        }
    }
    modules
}

fn unread(mapped: &MappedFile) -> Module {
    Module {
        base: mapped.base,
        end: mapped.end,
        ..unread_at(&escape_bytes(&mapped.path, MAX_PATH))
    }
}

/// A file of which nothing but its path is known, and that was not mapped.
pub(super) fn unread_at(path: &str) -> Module {
    Module {
        path: path.to_owned(),
        base: 0,
        end: 0,
        build_id: None,
        sha256: None,
        size: None,
        missing: None,
    }
}

struct IsElf(bool);

/// A held file and who reads it.
pub(super) struct Source<'r, 'f> {
    reader: &'r mut Reader<'f>,
    number: usize,
}

impl<'r, 'f> Source<'r, 'f> {
    pub(super) fn new(reader: &'r mut Reader<'f>, number: usize) -> Self {
        Self { reader, number }
    }

    pub(super) fn look(&mut self) -> io::Result<Look> {
        self.reader.look(self.number)
    }

    pub(super) fn file(&mut self) -> FileOf<'_, 'f> {
        self.reader.file(self.number)
    }

    fn take(
        &mut self,
        entry: &Entry,
        reserve: u64,
        wanted: bool,
        module: &mut Module,
    ) -> Result<IsElf, String> {
        let failed = |error: io::Error| format!("it could not be read: {error}");
        let look = self.look().map_err(failed)?;
        if FileType::from_raw_mode(look.mode) != FileType::RegularFile {
            return Ok(IsElf(false));
        }
        match file_kind(&mut self.file()).map_err(failed)? {
            FileKind::Other => return Ok(IsElf(false)),
            FileKind::Elf(build_id) => module.build_id = build_id,
        }
        module.size = Some(look.size);
        if !wanted {
            return Err("no memory was kept that it is needed for".to_owned());
        }
        self.copy(look, entry, reserve, module)?;
        Ok(IsElf(true))
    }

    /// Copies the file into the entry, unless the module store has it.
    pub(super) fn copy(
        &mut self,
        look: Look,
        entry: &Entry,
        reserve: u64,
        module: &mut Module,
    ) -> Result<(), String> {
        let failed = |error: io::Error| format!("it could not be copied: {error}");
        let size = look.size;
        if size > MAX_SIZE {
            return Err(format!(
                "it has {size} bytes, more than {MAX_SIZE} are not copied"
            ));
        }
        let hash = self.transfer(size, &mut io::sink()).map_err(failed)?;
        if entry.has_module(&hash) {
            module.sha256 = Some(hash);
            return Ok(());
        }
        if entry.free_bytes() < reserve.saturating_add(size) {
            return Err("the disk is nearly full".to_owned());
        }
        // The file of a running container may change between the two readings: the name is the
        // hash of what was written.
        let public = look.mode & Mode::ROTH.bits() != 0;
        let mut partial = entry.new_module(public).map_err(failed)?;
        let written = self.transfer(size, partial.file()).map_err(failed)?;
        partial.keep_as(&written).map_err(failed)?;
        module.sha256 = Some(written);
        Ok(())
    }

    /// Copies the first `size` bytes and returns their SHA-256.
    fn transfer(&mut self, size: u64, target: &mut impl Write) -> io::Result<String> {
        let mut hash = Sha256::new();
        let mut offset = 0u64;
        while offset < size {
            let left = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
            let mut file = self.reader.file(self.number);
            let bytes = file.read_at(offset, left.min(PIECE))?;
            if bytes.is_empty() {
                break;
            }
            hash.update(&bytes);
            target.write_all(&bytes)?;
            offset = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        }
        Ok(hex(&hash.finalize()))
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
    fn our_own_files_are_held() {
        let proc = crate::bounded::open_dir(std::path::Path::new("/proc/self")).unwrap();
        let maps = std::fs::read("/proc/self/maps").unwrap();
        let mut problems = Vec::new();
        let files = hold_mapped(&proc, &maps, &mut problems);
        let me = std::env::current_exe().unwrap();
        let mine = files
            .iter()
            .find(|f| f.mapped.path == me.as_os_str().as_encoded_bytes())
            .unwrap();
        let mut reader = Reader::new(vec![mine.held.as_ref().unwrap()], PATIENCE);
        let kind = file_kind(&mut reader.file(0)).unwrap();
        assert!(matches!(kind, FileKind::Elf(Some(_))));
        assert_eq!(problems, Vec::<String>::new());
    }
}

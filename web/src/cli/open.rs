//! `open`: reads a file that `bundle` wrote, without a daemon: why the process died, or the crash
//! in a debugger.
//!
//! Whoever wrote the file is not trusted: only plain files below the known names are unpacked.

use super::bt::{self, Depth};
use super::bundle::DUMP;
use super::cp::Target;
use super::crash_files::{self, CORE, DEBUG, Place, SYSROOT, cannot};
use super::debug::{Debugger, start};
use super::session::{Failure, Session};
use aground_store::types::Dump;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use tar::{Archive, Entries, Entry, EntryType};
use zstd::stream::read::Decoder;

/// The most of `dump.json` that is read.
const MAX_DUMP: u64 = 256 << 20;
/// The longest path Linux takes (`PATH_MAX`).
const LONGEST_NAME: u64 = 4096;
/// Bytes unpacked at a time; as large pieces of zeros become holes.
const PIECE: usize = 64 * 1024;

/// Show a crash from a file that aground bundle wrote, or open it in a debugger
#[derive(clap::Args)]
pub struct Arguments {
    /// File
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    depth: Depth,
    /// Unpack core, modules and symbols into this new directory and keep them
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Open it in a debugger
    #[arg(long)]
    debug: bool,
    #[command(flatten)]
    debugger: Debugger,
}

type Packed = Decoder<'static, BufReader<File>>;

/// Shows, unpacks or debugs.
pub async fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let file =
        File::open(&arguments.file).map_err(|error| cannot("open", &arguments.file, &error))?;
    let mut archive = Archive::new(Decoder::new(file)?);
    // Raw: the library would take in a name of any length.
    let mut entries = archive.entries()?.raw(true);
    let dump = read_dump(&mut entries).ok_or_else(|| {
        let name = arguments.file.display();
        Failure::Message(format!("{name} is no bundle of aground, or it is damaged"))
    })?;
    if !arguments.debug && arguments.dir.is_none() {
        return bt::show(&dump, arguments.depth, session);
    }
    let place = Place::new(arguments.dir.as_deref())?;
    unpack(entries, &place)?;
    if !arguments.debug {
        let shown = super::text::visible(&place.path.display().to_string());
        writeln!(session.out, "{shown}")?;
        return Ok(());
    }
    if !place.path.join(CORE).exists() {
        return Err(Failure::Message(
            "there is no core in this bundle".to_owned(),
        ));
    }
    let executable = crash_files::executable(&dump, &place.path);
    session.flush()?;
    start(
        &arguments
            .debugger
            .command(&place.path, executable.as_deref()),
    )
    .await
}

fn read_dump(entries: &mut Entries<'_, Packed>) -> Option<Dump> {
    let first = entries.next()?.ok()?;
    if first.path().ok()?.as_os_str() != DUMP {
        return None;
    }
    serde_json::from_reader(first.take(MAX_DUMP)).ok()
}

fn unpack(entries: Entries<'_, Packed>, place: &Place) -> Result<(), Failure> {
    let mut long_name = None;
    for entry in entries {
        let mut entry = entry?;
        if entry.header().entry_type() == EntryType::GNULongName {
            long_name = Some(read_name(&mut entry)?);
            continue;
        }
        let name = long_name.take();
        let name = name.unwrap_or_else(|| entry.path_bytes().into_owned());
        let Some(below) = known(&name, entry.header().entry_type()) else {
            let name = String::from_utf8_lossy(&name).into_owned();
            return Err(Failure::Message(format!(
                "\"{name}\" has no place in a bundle"
            )));
        };
        let path = place.file(&below)?;
        let mut file = Target::open(&path)?;
        let mut piece = vec![0; PIECE];
        loop {
            let length = fill(&mut entry, &mut piece)?;
            if length == 0 {
                break;
            }
            file.put(piece.get(..length).unwrap_or_default())?;
        }
        file.finish()?;
        if below.starts_with(SYSROOT) {
            place.name_library(&path)?;
        }
    }
    Ok(())
}

/// The name of the next entry, which is too long for its header (GNU tar: ends with a NUL).
fn read_name(entry: &mut Entry<'_, Packed>) -> Result<Vec<u8>, Failure> {
    let mut name = Vec::new();
    entry.take(LONGEST_NAME + 1).read_to_end(&mut name)?;
    if name.len() as u64 > LONGEST_NAME {
        return Err(Failure::Message(
            "a name in it is longer than any file's".to_owned(),
        ));
    }
    let end = name
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(name.len());
    name.truncate(end);
    Ok(name)
}

/// Where an entry belongs, if it is one of those that `bundle` writes.
fn known(name: &[u8], kind: EntryType) -> Option<PathBuf> {
    let path = Path::new(OsStr::from_bytes(name));
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let inside = |directory| path.starts_with(directory) && path != Path::new(directory);
    let known = path == Path::new(CORE) || inside(SYSROOT) || inside(DEBUG);
    (plain && known && kind == EntryType::Regular).then(|| path.to_owned())
}

/// Reads until the piece is full or there is no more.
fn fill(entry: &mut impl Read, piece: &mut [u8]) -> Result<usize, Failure> {
    let mut length = 0;
    while let Some(rest) = piece.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match entry.read(rest)? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tar::{Builder, Header};

    /// Unpacks an archive with one entry of this name, as `bundle` would write it.
    fn unpacked(name: &str) -> Result<PathBuf, Failure> {
        let directory = tempfile::tempdir().unwrap();
        let mut packed = Builder::new(zstd::Encoder::new(Vec::new(), 1).unwrap());
        let mut header = Header::new_gnu();
        header.set_size(4);
        packed.append_data(&mut header, name, &b"ELF!"[..]).unwrap();
        let file = directory.path().join("bundle");
        std::fs::write(&file, packed.into_inner().unwrap().finish().unwrap()).unwrap();
        let place = Place::new(Some(&directory.path().join("place"))).unwrap();
        let mut archive = Archive::new(Decoder::new(File::open(&file).unwrap()).unwrap());
        unpack(archive.entries().unwrap().raw(true), &place)?;
        let path = place.path.join(name);
        assert_eq!(std::fs::read(&path).unwrap(), b"ELF!");
        Ok(path)
    }

    #[test]
    fn names_are_as_long_as_files_have_them() {
        unpacked("sysroot/lib/libc.so.6").unwrap();
        unpacked(&format!("sysroot/{}libc.so.6", "directory/".repeat(30))).unwrap();
        let absurd = unpacked(&format!("sysroot/{}", "a/".repeat(1 << 20))).unwrap_err();
        assert!(
            absurd.to_string().contains("longer than any file's"),
            "{absurd}"
        );
        for stranger in ["etc/passwd", "sysroot", "core/x"] {
            assert!(unpacked(stranger).is_err(), "{stranger}");
        }
    }
}

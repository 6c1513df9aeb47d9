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
use bytes::Bytes;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, Entries, Entry, EntryType};
use zstd::stream::read::Decoder;

/// The most of `dump.json` that is read.
const MAX_DUMP: u64 = 256 << 20;
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
    let mut entries = archive.entries()?;
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
    for entry in entries {
        let mut entry = entry?;
        let Some(below) = known(&entry) else {
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
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
            file.put(&Bytes::copy_from_slice(
                piece.get(..length).unwrap_or_default(),
            ))?;
        }
        file.finish()?;
        if below.starts_with(SYSROOT) {
            place.name_library(&path)?;
        }
    }
    Ok(())
}

/// Where an entry belongs, if it is one of those that `bundle` writes.
fn known(entry: &Entry<'_, Packed>) -> Option<PathBuf> {
    let path = entry.path().ok()?;
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let inside = |directory| path.starts_with(directory) && path != Path::new(directory);
    let known = path == Path::new(CORE) || inside(SYSROOT) || inside(DEBUG);
    let file = entry.header().entry_type() == EntryType::Regular;
    (plain && known && file).then(|| path.into_owned())
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

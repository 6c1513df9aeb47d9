//! `bundle`: puts all that explains a crash into one file, for somebody who cannot reach the
//! daemon; `aground open` reads it.
//!
//! A tar archive packed with zstd: `dump.json` first, so that reading it needs no more than the
//! beginning of the file, then modules and symbols, and the core last.

use super::cp::{Source, Target, core_source};
use super::crash_files::{self, CORE};
use super::listing::fetch;
use super::progress::Progress;
use super::session::{Failure, Session};
use crate::client::{Client, encode};
use aground_store::symbols::SymbolFile;
use aground_store::types::Dump;
use bytes::{Buf, Bytes};
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use tar::{Builder, Header};
use tokio::sync::mpsc;
use zstd::stream::write::Encoder;

/// The first file of a bundle.
pub(super) const DUMP: &str = "dump.json";
/// Memory packs well at this level, and as fast as a disk writes.
const LEVEL: i32 = 3;

/// Flags of `bundle`.
#[derive(clap::Args)]
#[command(after_help = "A bundle has the memory of the process, with the secrets that were in it.")]
pub struct Arguments {
    /// Dump ID or the beginning of one
    #[arg(value_name = "DUMP")]
    dump: String,
    /// File to write [default: crash-ID.aground]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Don't show progress
    #[arg(short, long)]
    quiet: bool,
}

/// Fetches everything into one file; prints its name.
pub async fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let target = format!("/api/v1/dumps/{}", encode(&arguments.dump));
    let dump: Dump = session.client.get(&target).await?;
    let id = dump.summary.id.clone();
    let named = arguments.output.clone();
    let output = named.unwrap_or_else(|| format!("crash-{}.aground", id.short()).into());
    let mut archive = Archive::open(&output)?;
    archive = archive.add_json(&dump)?;
    let uploaded: Vec<SymbolFile> = fetch(session, "/api/v1/symbols", "", None).await?;
    for part in crash_files::parts(&dump, &uploaded) {
        let source = match session.client.stream(&part.target).await {
            Ok(download) => Source::Daemon(download),
            Err(error) if part.optional => {
                session.complain(&format!("{}: {error}", part.below.display()));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let progress = Progress::new("Packing", !arguments.quiet, source.size());
        archive = archive
            .add(&part.below, source, None, &session.client, progress)
            .await?;
    }
    match core_source(&id, session).await {
        Ok(core) => {
            let size = dump.summary.core_bytes;
            let progress = Progress::new("Packing the core", !arguments.quiet, Some(size));
            archive = archive
                .add(Path::new(CORE), core, Some(size), &session.client, progress)
                .await?;
        }
        // What is known without memory is worth a bundle.
        Err(failure) => session.complain(&failure.message().unwrap_or_default()),
    }
    archive.finish()?;
    if !arguments.quiet || !io::stdout().is_terminal() {
        use std::io::Write;
        writeln!(
            session.out,
            "{}",
            super::text::visible(&output.display().to_string())
        )?;
    }
    Ok(())
}

/// The file being written; it gets its name when it is whole.
struct Archive(Builder<Encoder<'static, Target>>);

impl Archive {
    fn open(path: &Path) -> Result<Self, Failure> {
        let encoder = Encoder::new(Target::open(path)?, LEVEL)?;
        Ok(Self(Builder::new(encoder)))
    }

    fn add_json(mut self, dump: &Dump) -> Result<Self, Failure> {
        let json = serde_json::to_vec(dump).map_err(io::Error::from)?;
        let mut header = header(json.len() as u64);
        self.0.append_data(&mut header, DUMP, json.as_slice())?;
        Ok(self)
    }

    /// Adds a file of the size that its source says, or else of `size`.
    async fn add(
        mut self,
        below: &Path,
        mut source: Source,
        size: Option<u64>,
        client: &Client,
        mut progress: Progress,
    ) -> Result<Self, Failure> {
        let name = below.display().to_string();
        let size = source.size().or(size);
        let size =
            size.ok_or_else(|| Failure::Message(format!("{name}: its size is not known")))?;
        let (sender, receiver) = mpsc::channel(4);
        let path = below.to_owned();
        let writing = tokio::task::spawn_blocking(move || {
            let pieces = Pieces {
                receiver,
                piece: Bytes::new(),
            };
            self.0
                .append_data(&mut header(size), path, pieces)
                .map(|()| self)
        });
        let mut came = 0;
        while let Some(piece) = source.piece(client).await? {
            came += piece.len() as u64;
            progress.add(piece.len());
            // Why nobody takes it any more is told below.
            if sender.send(piece).await.is_err() {
                break;
            }
        }
        drop(sender);
        progress.end();
        let written = writing.await.map_err(anyhow::Error::from)?;
        let archive =
            written.map_err(|error| Failure::Message(format!("cannot write {name}: {error}")))?;
        if came != size {
            let message = format!("{name}: {came} bytes came instead of {size}");
            return Err(Failure::Message(message));
        }
        Ok(archive)
    }

    fn finish(self) -> Result<(), Failure> {
        self.0.into_inner()?.finish()?.finish()
    }
}

fn header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o600);
    header
}

/// What comes in pieces, read as one.
struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = into.len().min(self.piece.len());
        let (now, _) = into.split_at_mut(length);
        self.piece.copy_to_slice(now);
        Ok(length)
    }
}

//! `cp`: copies a core out: to a file, into a directory, or to standard output.

use super::human;
use super::private_core::{self, PrivateCore};
use super::progress::Progress;
use super::session::{Failure, Session};
use crate::client::{Client, Download, encode};
use aground_helper::id::DumpId;
use aground_store::types::Dump;
use bytes::Bytes;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Flags of `cp`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Dump ID or the beginning of one
    #[arg(value_name = "DUMP")]
    dump: String,
    /// File, directory, or - for standard output
    #[arg(value_name = "DEST|-")]
    destination: PathBuf,
    /// Don't show progress
    #[arg(short, long)]
    quiet: bool,
}

/// Copies the core.
pub async fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let stdout = arguments.destination.as_os_str() == "-";
    if stdout && io::stdout().is_terminal() {
        let message = "refusing to write a core to a terminal: name a file, or pipe the output";
        return Err(Failure::Message(message.to_owned()));
    }
    let dump: Dump = session
        .client
        .get(&format!("/api/v1/dumps/{}", encode(&arguments.dump)))
        .await?;
    let id = &dump.summary.id;
    let source = core_source(id, session).await?;
    let progress = Progress::new("Copying", !arguments.quiet, source.size());
    if stdout {
        return to_stdout(session, source, progress).await;
    }
    let destination = if arguments.destination.is_dir() {
        arguments.destination.join(format!("core.{}", id.short()))
    } else {
        arguments.destination.clone()
    };
    let size = save(session, source, progress, &destination).await?;
    if !arguments.quiet && io::stderr().is_terminal() {
        let shown = super::text::visible(&destination.display().to_string());
        eprintln!("Copied {} to {shown}", human::size(size));
    }
    Ok(())
}

/// The core of a dump: from the daemon, or for root from the disk where the daemon may not.
pub(super) async fn core_source(id: &DumpId, session: &mut Session) -> Result<Source, Failure> {
    let download = session
        .client
        .stream(&format!("/api/v1/dumps/{id}/core"))
        .await;
    match download {
        Ok(download) => Ok(Source::Daemon(download)),
        Err(refusal) => {
            let core = private_core::open(refusal, session.client.is_local(), id)?;
            session.complain("only root may read this core: taking it from the disk");
            Ok(Source::Disk(core))
        }
    }
}

/// Writes all of it to a file, which is whole or not there. Returns the bytes.
pub(super) async fn save(
    session: &Session,
    source: Source,
    progress: Progress,
    destination: &Path,
) -> Result<u64, Failure> {
    let mut target = Target::open(destination)?;
    let size = to_file(session, source, progress, &mut target).await?;
    target.finish()?;
    Ok(size)
}

/// Where the bytes come from.
pub(super) enum Source {
    Daemon(Download),
    Disk(PrivateCore),
}

impl Source {
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Source::Daemon(download) => download.size,
            Source::Disk(_) => None,
        }
    }

    pub(super) async fn piece(&mut self, client: &Client) -> Result<Option<Bytes>, Failure> {
        match self {
            Source::Daemon(download) => Ok(client.piece(download).await?),
            Source::Disk(core) => core
                .piece()
                .map_err(|error| Failure::Message(format!("cannot read the core: {error}"))),
        }
    }
}

async fn to_stdout(
    session: &mut Session,
    mut source: Source,
    mut progress: Progress,
) -> Result<(), Failure> {
    while let Some(piece) = source.piece(&session.client).await? {
        session.out.write_all(&piece)?;
        progress.add(piece.len());
    }
    session.flush()?;
    progress.end();
    Ok(())
}

async fn to_file(
    session: &Session,
    mut source: Source,
    mut progress: Progress,
    target: &mut Target,
) -> Result<u64, Failure> {
    while let Some(piece) = source.piece(&session.client).await? {
        target.put(&piece)?;
        progress.add(piece.len());
    }
    progress.end();
    Ok(progress.done())
}

/// The file being written. A new file gets its name when it is whole; what is there already and
/// is no plain file (a pipe, a device) is written to as it is.
pub(super) struct Target {
    file: File,
    path: PathBuf,
    /// Where the bytes are until they are all there.
    partial: Option<PathBuf>,
    length: u64,
}

impl Target {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let special = std::fs::metadata(path).is_ok_and(|found| !found.is_file());
        let partial = (!special).then(|| partial_name(path));
        let mut options = OpenOptions::new();
        // Memory of a process holds its secrets.
        options.write(true).mode(0o600);
        if partial.is_some() {
            options.create_new(true);
        }
        let opened = options.open(partial.as_deref().unwrap_or(path));
        Ok(Self {
            file: opened.map_err(|error| cannot_write(path, &error))?,
            path: path.to_owned(),
            partial,
            length: 0,
        })
    }

    pub(super) fn put(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let written = self.add(piece);
        written.map_err(|error| cannot_write(&self.path, &error))
    }

    fn add(&mut self, piece: &[u8]) -> io::Result<()> {
        // Pages of zeros become holes; the end is set when all is there.
        let hole = self.partial.is_some() && piece.iter().all(|&byte| byte == 0);
        let length = piece.len() as u64;
        self.length += length;
        if hole {
            let distance = SeekFrom::Current(i64::try_from(length).unwrap_or(0));
            return self.file.seek(distance).map(|_| ());
        }
        self.file.write_all(piece)
    }

    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let Some(partial) = self.partial.take() else {
            return Ok(());
        };
        let finished = self
            .file
            .set_len(self.length)
            .and_then(|()| std::fs::rename(&partial, &self.path));
        finished.map_err(|error| {
            // The first error is the one that counts.
            let _ = std::fs::remove_file(&partial);
            cannot_write(&self.path, &error)
        })
    }
}

impl Write for Target {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.add(piece).map(|()| piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            // Half a core under its own name would be taken for a whole one.
            let _ = std::fs::remove_file(partial);
        }
    }
}

fn partial_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::Message(format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_core_is_private_and_whole_or_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("core");
        let mut target = Target::open(&path).unwrap();
        target.put(&Bytes::from_static(b"ELF")).unwrap();
        target.put(&Bytes::from(vec![0; 100_000])).unwrap();
        assert!(!path.exists());
        target.finish().unwrap();
        let core = std::fs::read(&path).unwrap();
        assert_eq!((core.len(), &core[..4]), (100_003, &b"ELF\0"[..]));
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );

        drop(Target::open(&directory.path().join("other")).unwrap());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(Target::open(&directory.path().join("no/such")).is_err());
        Target::open(Path::new("/dev/null"))
            .unwrap()
            .finish()
            .unwrap();
    }
}

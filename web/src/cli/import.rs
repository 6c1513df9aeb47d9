//! `import`: hands cores in that lie in files, come on standard input, or were left by others.

use super::progress::Progress;
use super::session::{Failure, Session};
use super::text::visible;
use super::upload::{Sending, send};
use crate::client::{ClientError, encode};
use aground_daemon::Import;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::io::ReaderStream;

/// Where systemd-coredump leaves cores.
const SYSTEMD: &str = "/var/lib/systemd/coredump";
/// Bytes sent at once.
pub(super) const PIECE: usize = 256 << 10;
/// First bytes of what is taken from a directory: ELF, gzip, xz, zstd, lz4.
const BEGINNINGS: [&[u8]; 5] = [
    b"\x7fELF",
    &[0x1f, 0x8b],
    b"\xfd7zXZ\0",
    &[0x28, 0xb5, 0x2f, 0xfd],
    &[0x04, 0x22, 0x4d, 0x18],
];

/// Flags of `import`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Core files (plain, .gz, .xz, .zst, .lz4), directories of them, or - for standard input
    #[arg(value_name = "FILE|DIR|-", required_unless_present = "systemd")]
    sources: Vec<PathBuf>,
    /// Import what systemd-coredump has in /var/lib/systemd/coredump
    #[arg(long)]
    systemd: bool,
    /// The machine it died on, where the file does not say
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Path of the executable, where the file does not say
    #[arg(long, value_name = "PATH")]
    executable: Option<String>,
    /// Only print dump IDs
    #[arg(short, long)]
    quiet: bool,
}

/// Imports one after the other; a failure does not stop the rest.
pub async fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let mut failed = false;
    let mut sources = arguments.sources.clone();
    sources.extend(arguments.systemd.then(|| SYSTEMD.into()));
    for source in sources {
        let files = match files(&source) {
            Ok(files) => files,
            Err(error) => {
                session.complain(&format!("{}: {error}", source.display()));
                failed = true;
                continue;
            }
        };
        for file in files {
            match one(&file, arguments, session).await {
                Ok(import) => told(&file, &import, arguments.quiet, session)?,
                Err(error @ Failure::Client(ClientError::Unreachable { .. })) => return Err(error),
                Err(error) => {
                    let error = error.message().unwrap_or_default();
                    session.complain(&format!("{}: {error}", file.display()));
                    failed = true;
                }
            }
        }
    }
    if failed { Err(Failure::Told) } else { Ok(()) }
}

fn told(file: &Path, import: &Import, quiet: bool, session: &mut Session) -> io::Result<()> {
    if quiet {
        return writeln!(session.out, "{}", import.id);
    }
    let name = visible(&file.display().to_string());
    let note = match (&import.lacks, import.new) {
        (_, false) => " (it was here already)".to_owned(),
        (Some(lacks), true) => format!(" ({})", visible(lacks)),
        (None, true) => String::new(),
    };
    writeln!(session.out, "{}  {name}{note}", import.id.short())
}

/// The file itself; of a directory the files in it that begin like a core, oldest first.
fn files(source: &Path) -> io::Result<Vec<PathBuf>> {
    if source.as_os_str() == "-" || !fs::metadata(source)?.is_dir() {
        return Ok(vec![source.to_owned()]);
    }
    let mut found = vec![];
    for entry in fs::read_dir(source)? {
        let path = entry?.path();
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        // What cannot be read is tried, so that the reason is told.
        if metadata.is_file() && begins_like_a_core(&path).unwrap_or(true) {
            found.push((metadata.mtime(), path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn begins_like_a_core(path: &Path) -> io::Result<bool> {
    let mut start = vec![];
    File::open(path)?.take(8).read_to_end(&mut start)?;
    Ok(BEGINNINGS.iter().any(|magic| start.starts_with(magic)))
}

async fn one(source: &Path, arguments: &Arguments, session: &Session) -> Result<Import, Failure> {
    let said = Said::of(source, arguments);
    let target = format!("/api/v1/import?{}", said.parameters());
    if source.as_os_str() == "-" {
        let progress = Progress::new("Importing", !arguments.quiet, None);
        let stream = ReaderStream::with_capacity(tokio::io::stdin(), PIECE);
        let sent = session.client.upload(&target, counted(stream, progress));
        return Ok(sent.await?);
    }
    let sending = Sending {
        target: &target,
        doing: "Importing",
        quiet: arguments.quiet,
    };
    send(source, &sending, session).await
}

/// The stream, with a line that says how far it is.
pub(super) fn counted(
    stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    progress: Progress,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let progress = Arc::new(Mutex::new(Ending(progress)));
    stream.inspect(move |piece| {
        let length = piece.as_ref().map_or(0, Bytes::len);
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.0.add(length);
    })
}

/// Takes the line away when all is sent or the sending failed.
struct Ending(Progress);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// What is said of a core, as parameters.
#[derive(Debug, Default)]
struct Said(Vec<(&'static str, String)>);

impl Said {
    /// What file and flags say. systemd-coredump keeps facts in extended attributes
    /// (`user.coredump.*`, its coredump.c); they win over the flags.
    fn of(source: &Path, arguments: &Arguments) -> Self {
        let mut said = Self::default();
        let text = |value: &Option<String>| value.clone();
        said.add("hostname", text(&arguments.hostname));
        said.add("executable", text(&arguments.executable));
        if source.as_os_str() == "-" {
            return said;
        }
        let name = source
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        said.add("file", name);
        let modified = fs::metadata(source)
            .ok()
            .map(|metadata| metadata.mtime().saturating_mul(1000));
        said.add("died_at_ms", modified.map(|time| time.to_string()));
        for (attribute, parameter) in [
            ("hostname", "hostname"),
            ("exe", "executable"),
            ("comm", "name"),
            ("pid", "pid"),
            ("uid", "uid"),
            ("gid", "gid"),
            ("signal", "signal"),
        ] {
            said.add(parameter, attribute_of(source, attribute));
        }
        let microseconds =
            attribute_of(source, "timestamp").and_then(|text| text.parse::<i64>().ok());
        said.add(
            "died_at_ms",
            microseconds.map(|time| (time / 1000).to_string()),
        );
        said
    }

    /// The last one counts.
    fn add(&mut self, name: &'static str, value: Option<String>) {
        self.0.extend(value.map(|value| (name, value)));
    }

    fn parameters(&self) -> String {
        let pairs = self.0.iter();
        let pairs: Vec<String> = pairs
            .map(|(name, value)| format!("{name}={}", encode(value)))
            .collect();
        pairs.join("&")
    }
}

fn attribute_of(file: &Path, name: &str) -> Option<String> {
    let mut value = vec![0; 4096];
    let name = OsString::from(format!("user.coredump.{name}"));
    let length = rustix::fs::getxattr(file, name.as_bytes(), &mut value).ok()?;
    value.truncate(length);
    String::from_utf8(value).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn of_a_directory_what_begins_like_a_core_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let write =
            |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).unwrap();
        write("core.1", b"\x7fELF...");
        write("core.2.zst", &[0x28, 0xb5, 0x2f, 0xfd]);
        write("notes.txt", b"core");
        fs::create_dir(directory.path().join("core.d")).unwrap();
        let names: Vec<_> = files(directory.path())
            .unwrap()
            .iter()
            .map(|path| path.file_name().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["core.1", "core.2.zst"]);
        assert!(files(Path::new("/no/such")).is_err());
        assert_eq!(files(Path::new("-")).unwrap(), [Path::new("-")]);
    }
}

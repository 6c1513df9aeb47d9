//! `debug`: opens a dump in a debugger, with the files its process had mapped and the symbols
//! that were handed in.
//!
//! Everything comes into one private directory: the core, `sysroot` with the modules where the
//! process saw them, `libs` with their names, `debug` with symbols by build ID. Paths of modules
//! were chosen by a hostile process: only their plain components count.

use super::cp::{Source, core_source, save};
use super::progress::Progress;
use super::session::{Failure, Session};
use crate::client::encode;
use aground_store::symbols::SymbolFile;
use aground_store::types::Dump;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Component, Path, PathBuf};
use tokio::process::Command;

/// Flags of `debug`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Dump ID or the beginning of one
    #[arg(value_name = "DUMP")]
    dump: String,
    /// Fetch the files into this new directory and keep them; else they go with the debugger
    #[arg(long, value_name = "DIR", required_if_eq("print", "true"))]
    dir: Option<PathBuf>,
    /// Print the debugger's command instead of running it; needs --dir
    #[arg(long)]
    print: bool,
    /// gdb, lldb or dlv
    #[arg(long, value_name = "NAME", default_value = "gdb", value_parser = ["gdb", "lldb", "dlv"])]
    debugger: String,
    /// Don't show progress
    #[arg(short, long)]
    quiet: bool,
    /// Arguments of the debugger, such as -batch -ex bt
    #[arg(value_name = "ARGUMENT", last = true)]
    more: Vec<OsString>,
}

/// Fetches, then runs the debugger or says how to.
pub async fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let target = format!("/api/v1/dumps/{}", encode(&arguments.dump));
    let dump: Dump = session.client.get(&target).await?;
    let place = Place::new(arguments.dir.as_deref())?;
    let executable = fetch(&dump, &place, arguments.quiet, session).await?;
    let command = command(arguments, &place.path, executable.as_deref());
    if arguments.print {
        let words: Vec<String> = command.iter().map(quoted).collect();
        writeln!(session.out, "{}", words.join(" "))?;
        return Ok(());
    }
    session.flush()?;
    start(&command).await
}

/// The directory of one session; it goes with the session unless somebody named it.
struct Place {
    path: PathBuf,
    keep: bool,
}

impl Place {
    fn new(named: Option<&Path>) -> Result<Self, Failure> {
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
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keep {
            // Nobody is left to tell.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn cannot(action: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::Message(format!("cannot {action} {}: {error}", path.display()))
}

/// Fetches core, modules and symbols. Returns where the executable is.
async fn fetch(
    dump: &Dump,
    place: &Place,
    quiet: bool,
    session: &mut Session,
) -> Result<Option<PathBuf>, Failure> {
    let id = &dump.summary.id;
    let core = core_source(id, session).await?;
    let progress = |what, size| Progress::new(what, !quiet, size);
    let shown = progress("Copying", core.size());
    save(session, core, shown, &place.path.join("core")).await?;
    let uploaded: Vec<SymbolFile> = session.client.get("/api/v1/symbols").await?;
    let uploaded: BTreeMap<&str, &SymbolFile> = uploaded
        .iter()
        .map(|file| (&*file.build_id, file))
        .collect();
    for module in &dump.record.modules {
        let (Some(sha256), Some(below)) = (&module.sha256, plain(&module.path)) else {
            continue;
        };
        let path = place.path.join("sysroot").join(&below);
        if path.exists() {
            continue;
        }
        let target = format!("/api/v1/dumps/{id}/modules/{}", encode(sha256));
        if let Err(error) = get(&target, &path, quiet, session).await {
            let error = error.message().unwrap_or_default();
            session.complain(&format!("{}: {error}", module.path));
            continue;
        }
        name_library(&place.path.join("libs"), &path)?;
        let mut wanted = module.build_id.as_deref();
        while let Some(file) = wanted.and_then(|build_id| uploaded.get(build_id)) {
            let path = place.path.join("debug").join(by_build_id(&file.build_id));
            if path.exists() {
                break;
            }
            let target = format!("/api/v1/symbols/{}", encode(&file.build_id));
            get(&target, &path, quiet, session).await?;
            wanted = file.shared.as_deref();
        }
    }
    for file in &dump.record.debug_files {
        let (Some(sha256), Some(build_id)) = (&file.sha256, &file.build_id) else {
            continue;
        };
        let path = place.path.join("debug").join(by_build_id(build_id));
        // What somebody handed in is preferred, as by the analysis.
        if !path.exists() {
            let target = format!("/api/v1/dumps/{id}/modules/{}", encode(sha256));
            get(&target, &path, quiet, session).await?;
        }
    }
    let report = dump.report.as_ref();
    let said = report.and_then(|report| report.process.executable.as_deref());
    // In a root directory of its own a process sees other paths than the host.
    let seen = [said, dump.record.process.executable.as_deref()];
    let seen = seen.into_iter().flatten().filter_map(plain);
    let mut paths = seen.map(|below| place.path.join("sysroot").join(below));
    Ok(paths.find(|path| path.exists()))
}

async fn get(target: &str, path: &Path, quiet: bool, session: &mut Session) -> Result<(), Failure> {
    if let Some(parent) = path.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
        made.map_err(|error| cannot("make", parent, &error))?;
    }
    let source = Source::Daemon(session.client.stream(target).await?);
    let progress = Progress::new("Copying", !quiet, source.size());
    save(session, source, progress, path).await?;
    Ok(())
}

/// A path of the dead process, to be put below a directory of ours: without root, `.` and `..`.
fn plain(path: &str) -> Option<PathBuf> {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let below: PathBuf = Path::new(path)
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect();
    (!below.as_os_str().is_empty()).then_some(below)
}

fn by_build_id(build_id: &str) -> PathBuf {
    let (head, rest) = build_id.split_at_checked(2).unwrap_or((build_id, ""));
    Path::new(".build-id")
        .join(head)
        .join(format!("{rest}.debug"))
}

/// Gives a library the names by which the dynamic linker may have opened it: its path leads
/// through links that are not here. `libz.so.1.2.13` is also `libz.so.1`.
fn name_library(libraries: &Path, file: &Path) -> Result<(), Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(libraries)
        .map_err(|error| cannot("make", libraries, &error))?;
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
                if shorter.contains(".so") && number.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                name = shorter;
            }
            _ => return Ok(()),
        }
    }
}

/// The debugger's command line. Scripts that lie in the process's files are not run.
fn command(arguments: &Arguments, place: &Path, executable: Option<&Path>) -> Vec<OsString> {
    let below = |name: &str| place.join(name).display().to_string();
    let (sysroot, libraries, debug) = (below("sysroot"), below("libs"), below("debug"));
    let core = place.join("core").into_os_string();
    let executable = executable.map(|path| path.as_os_str().to_owned());
    let mut words: Vec<OsString> = vec![arguments.debugger.clone().into()];
    let mut settings = |option: &str, lines: &[String]| {
        for line in lines {
            words.extend([option.into(), line.into()]);
        }
    };
    match &*arguments.debugger {
        "lldb" => {
            settings(
                "-O",
                &[
                    "settings set target.load-script-from-symbol-file false".to_owned(),
                    format!("settings append target.debug-file-search-paths '{debug}'"),
                    format!("settings append target.exec-search-paths '{libraries}'"),
                    format!("platform select --sysroot '{sysroot}' host"),
                ],
            );
            words.extend(arguments.more.iter().cloned());
            words.extend(["-c".into(), core]);
            words.extend(executable);
        }
        "dlv" => {
            words.push("core".into());
            words.extend(executable);
            words.push(core);
            words.extend(arguments.more.iter().cloned());
        }
        _ => {
            settings(
                "-iex",
                &[
                    "set auto-load off".to_owned(),
                    format!("set sysroot {sysroot}"),
                    format!("set solib-search-path {libraries}"),
                    format!("set debug-file-directory {debug}:/usr/lib/debug"),
                ],
            );
            words.extend(arguments.more.iter().cloned());
            words.extend(executable);
            words.push(core);
        }
    }
    words
}

/// A word as a shell takes it.
fn quoted(word: &OsString) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", super::text::visible(&word).replace('\'', r"'\''"))
}

/// Runs the debugger to its end. An interrupt from the keyboard is for the debugger alone.
async fn start(command: &[OsString]) -> Result<(), Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Ok(());
    };
    let name = program.to_string_lossy();
    let started = Command::new(program).args(arguments).spawn();
    let mut debugger = started.map_err(|error| {
        Failure::Message(format!(
            "cannot run {name}: {error} (--debugger names another, --print only says the command)"
        ))
    })?;
    loop {
        tokio::select! {
            ended = debugger.wait() => {
                return match ended? {
                    status if status.success() => Ok(()),
                    status => Err(Failure::Message(format!("{name} ended with {status}"))),
                };
            }
            _ = tokio::signal::ctrl_c() => {}
        }
    }
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
        let (libraries, file) = (
            directory.path().join("libs"),
            directory.path().join("libz.so.1.2"),
        );
        fs::write(&file, "z").unwrap();
        name_library(&libraries, &file).unwrap();
        name_library(&libraries, &file).unwrap();
        for name in ["libz.so.1.2", "libz.so.1", "libz.so"] {
            assert_eq!(fs::read(libraries.join(name)).unwrap(), b"z");
        }
        assert!(!libraries.join("libz").exists());
    }

    #[test]
    fn printed_words_are_one_word_each_for_a_shell() {
        assert_eq!(quoted(&"-iex".into()), "-iex");
        assert_eq!(quoted(&"set sysroot /a".into()), "'set sysroot /a'");
        assert_eq!(quoted(&"it's".into()), r"'it'\''s'");
    }
}

//! `debug`: opens a dump in a debugger, with the files its process had mapped and the symbols
//! that were handed in.
//!
//! Everything comes into one private directory, laid out by [`super::crash_files`].

use super::cp::{Source, core_source, save};
use super::crash_files::{self, CORE, DEBUG, LIBRARIES, Place, SYSROOT};
use super::listing;
use super::progress::Progress;
use super::session::{Failure, Session};
use crate::client::encode;
use aground_store::symbols::SymbolFile;
use aground_store::types::Dump;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
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
    /// Don't show progress
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    debugger: Debugger,
}

/// Which debugger, and what it is told besides.
#[derive(clap::Args)]
pub struct Debugger {
    /// gdb, lldb or dlv
    #[arg(long = "debugger", value_name = "NAME", default_value = "gdb", value_parser = ["gdb", "lldb", "dlv"])]
    name: String,
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
    let command = arguments
        .debugger
        .command(&place.path, executable.as_deref());
    if arguments.print {
        let words: Vec<String> = command.iter().map(quoted).collect();
        writeln!(session.out, "{}", words.join(" "))?;
        return Ok(());
    }
    session.flush()?;
    start(&command).await
}

/// Fetches core, modules and symbols. Returns where the executable is.
async fn fetch(
    dump: &Dump,
    place: &Place,
    quiet: bool,
    session: &mut Session,
) -> Result<Option<PathBuf>, Failure> {
    let core = core_source(&dump.summary.id, session).await?;
    let progress = Progress::new("Copying", !quiet, core.size());
    save(session, core, progress, &place.path.join(CORE)).await?;
    let uploaded: Vec<SymbolFile> = listing::fetch(session, "/api/v1/symbols", "", None).await?;
    for part in crash_files::parts(dump, &uploaded) {
        let path = place.file(&part.below)?;
        match get(&part.target, &path, quiet, session).await {
            Err(error) if part.optional => {
                let error = error.message().unwrap_or_default();
                session.complain(&format!("{}: {error}", part.below.display()));
            }
            Err(error) => return Err(error),
            Ok(()) if part.below.starts_with(SYSROOT) => place.name_library(&path)?,
            Ok(()) => {}
        }
    }
    Ok(crash_files::executable(dump, &place.path))
}

async fn get(target: &str, path: &Path, quiet: bool, session: &mut Session) -> Result<(), Failure> {
    let source = Source::Daemon(session.client.stream(target).await?);
    let progress = Progress::new("Copying", !quiet, source.size());
    save(session, source, progress, path).await?;
    Ok(())
}

impl Debugger {
    /// The debugger's command line. Scripts that lie in the process's files are not run.
    pub(super) fn command(&self, place: &Path, executable: Option<&Path>) -> Vec<OsString> {
        let below = |name: &str| place.join(name).display().to_string();
        let (sysroot, libraries, debug) = (below(SYSROOT), below(LIBRARIES), below(DEBUG));
        let core = place.join(CORE).into_os_string();
        let executable = executable.map(|path| path.as_os_str().to_owned());
        let mut words: Vec<OsString> = vec![self.name.clone().into()];
        let mut settings = |option: &str, lines: &[String]| {
            for line in lines {
                words.extend([option.into(), line.into()]);
            }
        };
        match &*self.name {
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
                words.extend(self.more.iter().cloned());
                words.extend(["-c".into(), core]);
                words.extend(executable);
            }
            "dlv" => {
                words.push("core".into());
                words.extend(executable);
                words.push(core);
                words.extend(self.more.iter().cloned());
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
                words.extend(self.more.iter().cloned());
                words.extend(executable);
                words.push(core);
            }
        }
        words
    }
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
pub(super) async fn start(command: &[OsString]) -> Result<(), Failure> {
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
    fn printed_words_are_one_word_each_for_a_shell() {
        assert_eq!(quoted(&"-iex".into()), "-iex");
        assert_eq!(quoted(&"set sysroot /a".into()), "'set sysroot /a'");
        assert_eq!(quoted(&"it's".into()), r"'it'\''s'");
    }
}

//! What the kernel runs when a process dies (see `aground_helper::run`) or connects to
//! (`aground_helper::listener`), and what the daemon runs to make stored cores lean
//! (`aground_helper::thin`).

use aground_helper::{listener, thin};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let started = Instant::now();
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.is_empty() {
        let usage = "aground-collect is run by the kernel through core_pattern; `aground install` sets that up";
        // Nobody is left to tell if this fails.
        let _ = writeln!(std::io::stderr(), "{usage}");
        return ExitCode::from(2);
    }
    // The kernel's first argument is an absolute path.
    if let Some((_, rest)) = args.split_first().filter(|(verb, _)| *verb == thin::VERB) {
        return thin::run(rest);
    }
    if let Some((_, rest)) = args
        .split_first()
        .filter(|(verb, _)| *verb == listener::VERB)
    {
        return listener::run(rest);
    }
    aground_helper::run::at_death(&args, started)
}

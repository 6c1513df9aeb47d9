//! What the daemon runs for a core that somebody hands in (see `aground_import`).

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    aground_import::worker::run(&arguments)
}

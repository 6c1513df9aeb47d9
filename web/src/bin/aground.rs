//! The `aground` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    aground_web::cli::run()
}

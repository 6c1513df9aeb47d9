//! The `docker-dumps` program: `docker dumps …`.

use std::process::ExitCode;

fn main() -> ExitCode {
    aground_web::cli::docker::run()
}

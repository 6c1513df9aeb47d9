//! The command line: a file per verb.

pub mod serve;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Explains why containers crash.
#[derive(Parser)]
#[command(name = "aground", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Serve(serve::Arguments),
}

/// Runs the program.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.verb {
        Verb::Serve(arguments) => serve::run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("aground: {error:#}");
            ExitCode::FAILURE
        }
    }
}

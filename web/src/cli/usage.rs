//! Parses command lines and says what is wrong with them in Docker's words.

use super::complain;
use std::ffi::OsString;
use std::process::ExitCode;

/// Parses arguments; help and version are printed, mistakes told as Docker tells them.
pub fn parse(
    command: &clap::Command,
    arguments: impl Iterator<Item = OsString>,
    program: &str,
) -> Result<clap::ArgMatches, ExitCode> {
    let named = command.clone().no_binary_name(true).bin_name(program);
    named
        .try_get_matches_from(arguments)
        .map_err(|error| refuse(&error, command, program))
}

/// Prints help or version when that was asked for; else says what is wrong.
pub fn refuse(error: &clap::Error, command: &clap::Command, program: &str) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed pipe is no mistake.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return print_help(command.clone()),
        _ => {}
    }
    let text = error.to_string();
    let usage = text.lines().find_map(|line| line.strip_prefix("Usage: "));
    let usage = usage.map_or_else(|| format!("{program} COMMAND"), ToOwned::to_owned);
    let verb = usage
        .split([' ', '['])
        .take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase()));
    let verb = verb.collect::<Vec<_>>().join(" ");
    complain(program, &mistake(error, &verb));
    eprintln!("\nUsage:  {usage}\n\nRun '{verb} --help' for more information");
    ExitCode::from(USAGE)
}

/// What is wrong with a command line, in Docker's words.
fn mistake(error: &clap::Error, verb: &str) -> String {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(value)) => value.clone(),
        Some(ContextValue::Strings(values)) => values.join(" "),
        _ => String::new(),
    };
    match error.kind() {
        ErrorKind::UnknownArgument if context(ContextKind::InvalidArg).starts_with('-') => {
            format!("unknown flag: {}", context(ContextKind::InvalidArg))
        }
        ErrorKind::UnknownArgument => {
            format!("unexpected argument: {}", context(ContextKind::InvalidArg))
        }
        ErrorKind::InvalidSubcommand => format!(
            "unknown command: {verb} {}",
            context(ContextKind::InvalidSubcommand)
        ),
        ErrorKind::MissingRequiredArgument => {
            format!("'{verb}' requires {}", context(ContextKind::InvalidArg))
        }
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            first.strip_prefix("error: ").unwrap_or(first).to_owned()
        }
    }
}

/// What Docker exits with when its own command line is wrong.
const USAGE: u8 = 125;

/// Prints the help of a command that was given nothing to do.
pub fn print_help(mut command: clap::Command) -> ExitCode {
    // A closed pipe is no mistake.
    let _ = command.print_help();
    ExitCode::SUCCESS
}

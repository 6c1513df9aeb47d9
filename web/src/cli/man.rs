//! `man`: writes the manual pages, one for the program and one for every verb.

use super::session::Failure;
use clap::Command;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Write the manual pages into a directory
#[derive(clap::Args)]
pub struct Arguments {
    /// Directory, such as /usr/local/share/man/man1
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Writes `aground.1`, `aground-ls.1`, `aground-groups-explain.1` and so on.
pub fn run(arguments: &Arguments, command: Command) -> Result<(), Failure> {
    let command = command.disable_help_flag(true);
    write(&arguments.directory, command).map_err(|error| {
        Failure::Message(format!(
            "cannot write manual pages to {}: {error}",
            arguments.directory.display()
        ))
    })
}

fn write(directory: &Path, command: Command) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(command, directory)
}

//! `aground config check`: whether the service would start with its configuration.

use super::session::Failure;
use crate::serve;
use aground_daemon::Config;
use std::path::PathBuf;

/// Check the configuration before the service is restarted
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Read file and environment as the service does, and say what is wrong with them
    #[command(help_template = super::HELP)]
    Check(Check),
}

#[derive(clap::Args)]
struct Check {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Checks.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let What::Check(check) = &arguments.what;
    let config = Config::load(check.config.as_deref());
    let config = config.map_err(|error| Failure::Other(error.into()))?;
    serve::identity(&config).map_err(|error| Failure::Other(error.into()))?;
    let file = check
        .config
        .clone()
        .unwrap_or_else(|| Config::DEFAULT_PATH.into());
    if file.exists() {
        println!("{}: ok", file.display());
    } else {
        println!("{}: absent, everything has its default", file.display());
    }
    Ok(())
}

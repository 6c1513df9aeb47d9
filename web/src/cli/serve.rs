//! `aground serve`: takes dumps in, has them analysed, serves API and pages.

use super::session::Failure;
use crate::passed::Passed;
use aground_daemon::{Config, ConfigError};
use std::net::SocketAddr;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// Run the service: take crashes in, analyse them, serve API and pages
#[derive(clap::Args)]
pub struct Arguments {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// State directory
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Runtime directory: holds api.sock
    #[arg(long, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
    /// Address of API and pages
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// How to write the log
    #[arg(
        long,
        value_name = "FORMAT",
        env = "AGROUND_LOG_FORMAT",
        hide_env = true,
        default_value = "text",
        hide_possible_values = true,
        help = "How to write the log: text, or json, an object per line"
    )]
    log_format: LogFormat,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// Runs until SIGTERM or SIGINT.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    log_to_stderr(arguments.log_format);
    let passed = Passed::take().map_err(|error| Failure::Other(error.into()))?;
    let config = configure(arguments).map_err(|error| Failure::Other(error.into()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(crate::serve::serve(config, passed));
    // A worker thread stuck in a system call must not hold the process.
    runtime.shutdown_background();
    served.map_err(|error| Failure::Other(error.into()))
}

/// File, then environment, then flags.
fn configure(arguments: Arguments) -> Result<Config, ConfigError> {
    let mut config = Config::load(arguments.config.as_deref())?;
    if let Some(directory) = arguments.state_dir {
        config.state_dir = directory;
    }
    if let Some(directory) = arguments.runtime_dir {
        config.runtime_dir = directory;
    }
    if let Some(address) = arguments.listen {
        config.listen = address;
    }
    Ok(config)
}

/// `RUST_LOG` as usual; colours only on a terminal.
fn log_to_stderr(format: LogFormat) {
    use std::io::IsTerminal;
    let plain = !std::io::stderr().is_terminal()
        || std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(!plain)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

//! `version`: of this program and of the daemon.

use super::session::{Failure, Session};
use aground_daemon::DaemonStatus;
use std::io::Write;

/// Show the versions of this program and of the daemon
#[derive(clap::Args)]
pub struct Arguments {}

/// Prints both versions; a daemon that cannot be reached is no failure here.
pub async fn run(_: &Arguments, session: &mut Session) -> Result<(), Failure> {
    writeln!(session.out, "Client:  {}", env!("CARGO_PKG_VERSION"))?;
    match session.client.get::<DaemonStatus>("/api/v1/status").await {
        Ok(status) => writeln!(
            session.out,
            "Daemon:  {}",
            super::text::visible(&status.version)
        )?,
        Err(error) => writeln!(
            session.out,
            "Daemon:  {}",
            super::text::visible(&error.to_string())
        )?,
    }
    Ok(())
}

//! `ping`: asks whether the daemon is there and its store answers.

use super::session::{Failure, Session};
use std::io::Write;

/// Check that the daemon runs and its store answers
#[derive(clap::Args)]
pub struct Arguments {}

/// Prints `OK`, or fails.
pub async fn run(_: &Arguments, session: &mut Session) -> Result<(), Failure> {
    session.client.text("/readyz").await?;
    writeln!(session.out, "OK")?;
    Ok(())
}

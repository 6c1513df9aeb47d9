//! `log`: the end of the container's log as it was when the process died.

use super::session::{Failure, Session};
use super::text::visible_lines;
use crate::client::encode;
use std::io::Write;

/// Flags of `log`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Dump ID or the beginning of one
    #[arg(value_name = "DUMP")]
    dump: String,
}

/// Prints the log; what would act on a terminal is written out.
pub async fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let log = session
        .client
        .text(&format!("/api/v1/dumps/{}/log", encode(&arguments.dump)))
        .await?;
    // Line ends of a terminal's log are no news.
    let shown = visible_lines(&log.replace("\r\n", "\n"));
    session.out.write_all(shown.as_bytes())?;
    if !shown.is_empty() && !shown.ends_with('\n') {
        writeln!(session.out)?;
    }
    Ok(())
}

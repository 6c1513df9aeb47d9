//! `rm`: removes dumps.

use super::session::{Failure, Session};
use crate::api::dumps::DumpReference;
use crate::client::{ClientError, encode};
use std::io::Write;

/// Flags of `rm`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Dump IDs or beginnings of them
    #[arg(value_name = "DUMP", required = true)]
    dumps: Vec<String>,
    /// Don't fail for dumps that do not exist
    #[arg(short, long)]
    force: bool,
}

/// Removes one after the other, and says which; an error does not stop the rest.
pub async fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let mut failed = false;
    for reference in &arguments.dumps {
        let target = format!("/api/v1/dumps/{}", encode(reference));
        match session.client.delete::<DumpReference>(&target).await {
            Ok(_) => writeln!(session.out, "{}", super::text::visible(reference))?,
            Err(error) if arguments.force && error.is_not_found() => {}
            Err(error @ (ClientError::Refused(_) | ClientError::Broken { .. })) => {
                session.complain(&error.to_string());
                failed = true;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if failed { Err(Failure::Told) } else { Ok(()) }
}

//! `pin` and `unpin`: keep dumps from being given up for quotas and ages.

use super::session::{Failure, Session};
use crate::api::dumps::DumpReference;
use crate::client::{ClientError, encode};
use std::io::Write;

/// Arguments of `pin` and `unpin`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Dump IDs or beginnings of them
    #[arg(value_name = "DUMP", required = true)]
    dumps: Vec<String>,
}

/// Pins (or not) one after the other, and says which; an error does not stop the rest.
pub async fn run(
    arguments: &Arguments,
    pinned: bool,
    session: &mut Session,
) -> Result<(), Failure> {
    let mut failed = false;
    for reference in &arguments.dumps {
        let target = format!("/api/v1/dumps/{}/pin", encode(reference));
        let answer = if pinned {
            session.client.put::<DumpReference>(&target).await
        } else {
            session.client.delete::<DumpReference>(&target).await
        };
        match answer {
            Ok(_) => writeln!(session.out, "{}", super::text::visible(reference))?,
            Err(error @ (ClientError::Refused(_) | ClientError::Broken { .. })) => {
                session.complain(&error.to_string());
                failed = true;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if failed { Err(Failure::Told) } else { Ok(()) }
}

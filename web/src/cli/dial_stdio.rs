//! `aground dial-stdio`: the far end of `--host ssh://…`.

use super::session::Failure;
use crate::client::{ClientError, Endpoint};
use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;

/// Pass standard input on to the daemon of this machine, and its answers to standard output
#[derive(clap::Args)]
pub struct Arguments {}

/// Runs until the daemon has closed the connection. The half that reads standard input may wait
/// for ever; it ends with the process.
pub fn run(endpoint: &Endpoint) -> Result<(), Failure> {
    let Endpoint::Unix(path) = endpoint else {
        return Err(Failure::Message(format!(
            "dial-stdio passes on to a socket of this machine, and {endpoint} is none"
        )));
    };
    let mut daemon = UnixStream::connect(path).map_err(|source| {
        let endpoint = endpoint.clone();
        match source.kind() {
            io::ErrorKind::PermissionDenied => ClientError::Forbidden(endpoint),
            _ => ClientError::Unreachable { endpoint, source },
        }
    })?;
    let mut asking = daemon.try_clone()?;
    thread::spawn(move || {
        // If it fails, the daemon hears of it and closes.
        let _ = io::copy(&mut io::stdin().lock(), &mut asking);
        let _ = asking.shutdown(Shutdown::Write);
    });
    // Not by the standard library's own, which waits for the end of a line.
    let mut answers = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    io::copy(&mut daemon, &mut answers)?;
    Ok(())
}

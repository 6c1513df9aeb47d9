//! `aground dial-stdio`: the far end of `--host ssh://…`.

use super::session::Failure;
use crate::client::{ClientError, Endpoint};
use std::fs::File;
use std::io::{self, Read, Write};
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
        let _ = pass_on(&mut io::stdin().lock(), &mut asking);
        let _ = asking.shutdown(Shutdown::Write);
    });
    // Not by the standard library's own, which waits for the end of a line.
    let mut answers = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    pass_on(&mut daemon, &mut answers)?;
    Ok(())
}

/// Not `io::copy`: it splices, and a splice that waits for a socket keeps others from reading the
/// pipe it has already written to.
fn pass_on(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all(piece.get(..length).unwrap_or_default())?;
    }
}

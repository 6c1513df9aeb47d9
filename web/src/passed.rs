//! Sockets that systemd made before it started the service (`sd_listen_fds(3)`): whoever connects
//! while the service restarts waits, and is not refused.

use listenfd::ListenFd;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

/// At most one of each kind; what is missing the service makes itself.
#[derive(Debug, Default)]
pub struct Passed {
    /// In place of `listen`.
    pub tcp: Option<TcpListener>,
    /// In place of `api.sock` in the runtime directory.
    pub unix: Option<UnixListener>,
}

impl Passed {
    /// Takes what the environment names, and the names out of it, so it must run before there are
    /// threads.
    pub fn take() -> io::Result<Self> {
        let mut named = ListenFd::from_env();
        let mut passed = Self::default();
        for index in 0..named.len() {
            let twice = if let Ok(tcp) = named.take_tcp_listener(index) {
                tcp.and_then(|tcp| passed.tcp.replace(tcp)).is_some()
            } else {
                let unix = named.take_unix_listener(index).map_err(|error| {
                    io::Error::other(format!("cannot use a socket that was passed: {error}"))
                })?;
                unix.and_then(|unix| passed.unix.replace(unix)).is_some()
            };
            if twice {
                return Err(io::Error::other(
                    "two sockets of a kind were passed: one TCP and one unix socket can be used",
                ));
            }
        }
        // A listener that blocks would hold a thread of the runtime.
        passed
            .tcp
            .as_ref()
            .map_or(Ok(()), |tcp| tcp.set_nonblocking(true))?;
        passed
            .unix
            .as_ref()
            .map_or(Ok(()), |unix| unix.set_nonblocking(true))?;
        Ok(passed)
    }
}

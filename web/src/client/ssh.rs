//! `ssh://[user@]host[:port]`: the daemon of another machine, as the Docker CLI reaches its engine.
//!
//! `ssh` runs `aground dial-stdio` there, which passes everything on to the service's socket, so
//! whoever may talk to the service on that machine may from here.

use std::fmt;
use std::io;
use std::process::Stdio;
use tokio::io::Join;
use tokio::process::{ChildStdin, ChildStdout, Command};

/// Whom `ssh` connects with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

/// A connection: what the other side writes, and what it reads.
pub type Connection = Join<ChildStdout, ChildStdin>;

impl Destination {
    /// Reads `[user@]host[:port]`. `ssh` may hand host and user to a shell (`ProxyCommand`), so
    /// they are letters, digits and `.`, `_`, `-`, in hosts also `:`.
    pub fn parse(text: &str) -> Option<Self> {
        let (user, rest) = match text.split_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, text),
        };
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':')?)),
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let port = port
            .map(|port| port.parse().ok())
            .map_or(Some(None), |port| port.map(Some))?;
        (user.is_none_or(|user| is_plain(user, "")) && is_plain(host, ":")).then(|| Self {
            user: user.map(ToOwned::to_owned),
            host: host.to_owned(),
            port,
        })
    }

    /// Starts `ssh`. What it says, and what `aground` says there, goes to standard error.
    pub fn dial(&self) -> io::Result<Connection> {
        let mut ssh = Command::new("ssh");
        ssh.args(["-T", "-o", "ConnectTimeout=30"]);
        if let Some(user) = &self.user {
            ssh.args(["-l", user]);
        }
        if let Some(port) = self.port {
            ssh.args(["-p", &port.to_string()]);
        }
        ssh.args(["--", &self.host, "aground", "dial-stdio"]);
        let mut child = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let ends = child.stdout.take().zip(child.stdin.take());
        // It ends when the connection is dropped.
        tokio::spawn(async move { child.wait().await });
        let (stdout, stdin) = ends.ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(tokio::io::join(stdout, stdin))
    }
}

fn is_plain(text: &str, besides: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c) || besides.contains(c))
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_and_shown() {
        for text in [
            "host",
            "ops@host.example",
            "host:2222",
            "a_b@[fe80::1]:22",
            "[::1]",
        ] {
            let destination = Destination::parse(text).map(|read| read.to_string());
            assert_eq!(destination.as_deref(), Some(text));
        }
        for text in [
            "",
            "@host",
            "user@",
            "-oProxyCommand=x",
            "-x@host",
            "host:",
            "host:70000",
            "a b",
            "host/path",
            "$(id)",
            "user;id@host",
            "a@b@c",
            "[::1]22",
            "fe80::1",
        ] {
            assert_eq!(Destination::parse(text), None, "{text}");
        }
    }
}

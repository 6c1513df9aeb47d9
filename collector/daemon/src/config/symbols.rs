//! The `[symbols]` section: where files of symbols are fetched, and how much of them is kept.

use super::retention::Share;
use crate::outgoing::Address;
use aground_helper::units::{Bytes, Span};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Where files of symbols are fetched, and how much of them is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Symbols {
    /// Servers that speak debuginfod's protocol, in the order they are asked; empty: nobody is.
    pub debuginfod: Vec<Server>,
    /// The largest file that is fetched.
    pub fetch_max: Bytes,
    /// Seconds that fetching one file may take.
    pub fetch_seconds: u64,
    /// For how long a file that no server has is not asked for again.
    pub fetch_again: Span,
    /// Most bytes of all files together, uploaded and fetched.
    pub max_bytes: Share,
}

impl Default for Symbols {
    fn default() -> Self {
        Self {
            debuginfod: vec![],
            fetch_max: Bytes(2 << 30),
            fetch_seconds: 300,
            fetch_again: Span(Duration::from_hours(24)),
            max_bytes: Share::Percent(5),
        }
    }
}

/// A server's address: `http://host:port/path` or `https://…`, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Server(pub Address);

/// The text is no address of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no debuginfod server: use http://host:8002 or https://host")]
pub struct InvalidServer(String);

impl FromStr for Server {
    type Err = InvalidServer;

    fn from_str(text: &str) -> Result<Self, InvalidServer> {
        let invalid = || InvalidServer(text.chars().take(200).collect());
        let mut address: Address = text.parse().map_err(|_| invalid())?;
        if address.path.contains('?') {
            return Err(invalid());
        }
        address.path = address.path.trim_end_matches('/').to_owned();
        Ok(Self(address))
    }
}

impl TryFrom<String> for Server {
    type Error = InvalidServer;

    fn try_from(text: String) -> Result<Self, InvalidServer> {
        text.parse()
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0, self.0.path)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Server;

    #[test]
    fn servers_are_plain_addresses() {
        for (text, written) in [
            ("http://localhost:8002", "http://localhost:8002"),
            ("https://symbols.example/", "https://symbols.example"),
            ("http://[::1]:8002/sub/", "http://[::1]:8002/sub"),
        ] {
            assert_eq!(text.parse::<Server>().unwrap().to_string(), written);
        }
        for text in [
            "",
            "localhost:8002",
            "ftp://debuginfod.example",
            "http://user@host/",
            "http://host/?query",
            "http://",
            "http://a b/",
            "/path",
        ] {
            let error = text.parse::<Server>().unwrap_err().to_string();
            assert!(error.contains("is no debuginfod server"), "{error}");
        }
    }
}

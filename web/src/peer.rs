//! Who is at the other end of a connection, as far as it can be known.
//!
//! The kernel tells the user of a process that connects to the unix socket. Over TCP nobody is
//! known; who a proxy says it is could be anybody.

use crate::access::Access;
use crate::access::who::Who;
use crate::tls::TlsListener;
use aground_store::lifecycle::Actor;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::request::Parts;
use axum::serve::IncomingStream;
use std::convert::Infallible;
use std::net::IpAddr;
use tokio::net::{TcpListener, UnixListener};

/// Whose names stand beside user ids.
const USERS: &str = "/etc/passwd";

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A process of a user.
    User(Option<u32>),
    /// Somebody at an address.
    Address(IpAddr),
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self::User(stream.io().peer_cred().ok().map(|peer| peer.uid()))
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Self::Address(stream.remote_addr().ip())
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self::Address(stream.remote_addr().ip())
    }
}

/// Who asks for a change.
pub struct By(pub Actor);

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let route = parts.extensions.get::<MatchedPath>();
        let api = route.is_some_and(|route| route.as_str().starts_with("/api/"));
        let peer = parts.extensions.get::<ConnectInfo<Peer>>();
        let access = parts.extensions.get::<Access>();
        let (uid, name) = match peer.map(|ConnectInfo(peer)| peer) {
            _ if access.is_some_and(|access| matches!(access.who, Who::Token { .. })) => (
                None,
                access.map_or(String::new(), |access| access.who.to_string()),
            ),
            Some(Peer::User(Some(uid))) => (Some(*uid), name_of(*uid)),
            Some(Peer::Address(address)) => (None, format!("somebody at {address}")),
            _ => (None, "somebody".to_owned()),
        };
        let via = if api { "api" } else { "page" }.to_owned();
        Ok(Self(Actor { uid, name, via }))
    }
}

/// The user's name; nothing when there is none.
pub(crate) fn name_of(uid: u32) -> String {
    let users = std::fs::read_to_string(USERS).unwrap_or_default();
    named(&users, uid).unwrap_or_default().to_owned()
}

fn named(users: &str, uid: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_list_of_users() {
        let users = "root:x:0:0:root:/root:/bin/sh\nodd\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(named(users, 1000), Some("ann"));
        assert_eq!(named(users, 0), Some("root"));
        assert_eq!(named(users, 1), None);
    }
}

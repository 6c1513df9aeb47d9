//! Finds out who asks, from the connection and from what came with the request.

use super::Access;
use super::sessions::Sessions;
use crate::peer::{self, Peer};
use aground_store::Store;
use aground_store::access::{Role, Sight, Token, Worthless};
use axum::extract::connect_info::ConnectInfo;
use axum::http::{Extensions, HeaderMap, HeaderName, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nobody has signed in, and that is needed here.
    Nobody,
    /// Somebody on this machine, where no tokens are needed.
    Anybody,
    /// A user of this machine, by the unix socket.
    User(u32),
    /// The bearer of a token.
    Token {
        /// The token's id.
        id: String,
        /// Its name.
        name: String,
        /// Whether a browser's cookie stands for it.
        by_cookie: bool,
    },
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Nobody => f.write_str("nobody"),
            Who::Anybody => f.write_str("somebody"),
            Who::Token { name, .. } => write!(f, "token {name}"),
            Who::User(uid) => match peer::name_of(*uid) {
                name if name.is_empty() => write!(f, "uid {uid}"),
                name => write!(f, "{name} (uid {uid})"),
            },
        }
    }
}

/// Where a request comes from: `unix`, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    uid: Option<u32>,
    address: Option<IpAddr>,
    is_unix: bool,
}

impl Origin {
    /// By the connection; behind a proxy, by what the proxy added last.
    pub fn of(extensions: &Extensions, headers: &HeaderMap, behind_proxy: bool) -> Self {
        let peer = extensions.get::<ConnectInfo<Peer>>();
        let (uid, address, is_unix) = match peer.map(|ConnectInfo(peer)| peer) {
            Some(Peer::User(uid)) => (*uid, None, true),
            Some(Peer::Address(address)) if behind_proxy => {
                (None, Some(forwarded(headers).unwrap_or(*address)), false)
            }
            Some(Peer::Address(address)) => (None, Some(*address), false),
            None => (None, None, false),
        };
        Self {
            uid,
            address,
            is_unix,
        }
    }

    /// Whether it came by the unix socket, which the kernel lets only its owner and group use.
    pub fn is_unix(&self) -> bool {
        self.is_unix
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{address}"),
            None => f.write_str("unix"),
        }
    }
}

/// The address that the proxy nearest to us saw: the last one, for all before it the client itself
/// may have written.
fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let name = HeaderName::from_static("x-forwarded-for");
    let line = headers.get_all(name).into_iter().next_back()?;
    line.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
}

/// What a request shows to prove who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing.
    None,
    /// A token: as `Bearer`, or as the password of `Basic` for programs that know nothing else.
    Secret(String),
    /// The id of the token that a cookie stands for.
    Session(String),
}

impl Proof {
    /// A header goes before a cookie.
    pub fn of(headers: &HeaderMap, sessions: &Sessions, now: Instant) -> Self {
        let sent = headers.get(header::AUTHORIZATION);
        if let Some(sent) = sent {
            // Something that cannot be read proves nothing, and is no reason to try the cookie.
            let secret = sent.to_str().ok().and_then(secret).unwrap_or_default();
            return Self::Secret(secret);
        }
        match sessions.token(headers, now) {
            Some(token) => Self::Session(token),
            None => Self::None,
        }
    }
}

fn secret(sent: &str) -> Option<String> {
    let (scheme, rest) = sent.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    Some(pair.split_once(':')?.1.to_owned())
}

/// Who that is. Blocks on disk.
pub fn identify(store: &Store, from: &Origin, proof: &Proof, tokens_needed: bool) -> Access {
    let place = from.to_string();
    let (token, by_cookie) = match proof {
        Proof::Secret(secret) => (store.token_of(secret, &place), false),
        Proof::Session(id) => (store.token_with_id(id, &place), true),
        Proof::None => return without_proof(from, place, tokens_needed),
    };
    match token {
        Ok(token) => of_token(token, place, by_cookie),
        // A cookie whose token has gone is as good as none.
        Err(_) if by_cookie => without_proof(from, place, tokens_needed),
        Err(why) => Access {
            worthless: Some(why),
            ..Access::nobody(place)
        },
    }
}

fn of_token(token: Token, from: String, by_cookie: bool) -> Access {
    Access {
        who: Who::Token {
            id: token.id,
            name: token.name,
            by_cookie,
        },
        from,
        role: Some(token.role),
        sight: Sight {
            scope: token.scope,
            memory: token.role >= Role::Debug,
        },
        worthless: None,
    }
}

fn without_proof(from: &Origin, place: String, tokens_needed: bool) -> Access {
    let who = match from.uid {
        Some(uid) => Who::User(uid),
        None if from.is_unix || !tokens_needed => Who::Anybody,
        None => return Access::nobody(place),
    };
    Access {
        who,
        from: place,
        role: Some(Role::Admin),
        sight: Sight::default(),
        worthless: None,
    }
}

impl Access {
    fn nobody(from: String) -> Self {
        Self {
            who: Who::Nobody,
            from,
            role: None,
            sight: Sight::default(),
            worthless: None,
        }
    }

    /// What a worthless token is told.
    pub fn complaint(&self) -> Option<String> {
        self.worthless.map(|why: Worthless| why.to_string())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tokens_come_as_bearer_or_as_a_password() {
        assert_eq!(secret("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(secret("bearer  abc ").as_deref(), Some("abc"));
        let basic = format!("Basic {}", STANDARD.encode("gdb:abc:d"));
        assert_eq!(secret(&basic).as_deref(), Some("abc:d"));
        for wrong in ["", "Bearer", "Basic !!", "Digest x", "Basic YWJj"] {
            assert_eq!(secret(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_what_the_nearest_proxy_said_counts() {
        let headers = |lines: &[&'static str]| -> HeaderMap {
            let name = HeaderName::from_static("x-forwarded-for");
            let pairs = lines
                .iter()
                .map(|line| (name.clone(), line.parse().unwrap()));
            pairs.collect()
        };
        let address = |text: &str| text.parse::<IpAddr>().ok();
        assert_eq!(
            forwarded(&headers(&["6.6.6.6, 10.0.0.7"])),
            address("10.0.0.7")
        );
        assert_eq!(forwarded(&headers(&["10.0.0.7", "::1"])), address("::1"));
        assert_eq!(forwarded(&headers(&["nonsense"])), None);
        assert_eq!(forwarded(&HeaderMap::new()), None);
    }
}

//! Sessions of browsers: a cookie that stands for a token.
//!
//! The cookie holds random bits and nothing else; what it stands for is known here, in memory, by
//! its hash. A session ends when it was idle, when it is old, when its token goes, at sign-out,
//! and with the process.

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// More than that at once are somebody's mistake: the one that was idle longest goes.
const MOST_SESSIONS: usize = 10_000;

/// All sessions.
#[derive(Debug)]
pub struct Sessions {
    idle: Duration,
    longest: Duration,
    /// Whether cookies are sent over TLS only.
    secure: bool,
    open: Mutex<HashMap<[u8; 32], Session>>,
}

#[derive(Clone, Debug)]
struct Session {
    token: String,
    began: Instant,
    used: Instant,
}

impl Sessions {
    /// Sessions that end after so long without use, and after so long in any case.
    pub fn new(idle: Duration, longest: Duration, secure: bool) -> Self {
        Self {
            idle,
            longest,
            secure,
            open: Mutex::default(),
        }
    }

    /// Begins a session of the bearer of a token (its id). Returns the cookie to set.
    pub fn begin(&self, token: &str, now: Instant) -> std::io::Result<String> {
        let secret = secret()?;
        let mut open = self.open();
        open.retain(|_, session| self.lives(session, now));
        if open.len() >= MOST_SESSIONS {
            let idlest = open.iter().min_by_key(|(_, session)| session.used);
            let idlest = idlest.map(|(key, _)| *key);
            idlest.and_then(|key| open.remove(&key));
        }
        let session = Session {
            token: token.to_owned(),
            began: now,
            used: now,
        };
        open.insert(key(&secret), session);
        Ok(self.cookie(&secret, self.longest.as_secs()))
    }

    /// The id of the token that a request's cookie stands for.
    pub fn token(&self, headers: &HeaderMap, now: Instant) -> Option<String> {
        let key = key(self.sent(headers)?);
        let mut open = self.open();
        let session = open.get_mut(&key)?;
        if !self.lives(session, now) {
            open.remove(&key);
            return None;
        }
        session.used = now;
        Some(session.token.clone())
    }

    /// Ends the session of a request. Returns the cookie that takes the cookie away.
    pub fn end(&self, headers: &HeaderMap) -> String {
        if let Some(secret) = self.sent(headers) {
            self.open().remove(&key(secret));
        }
        self.cookie("", 0)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lives(&self, session: &Session, now: Instant) -> bool {
        now.saturating_duration_since(session.used) < self.idle
            && now.saturating_duration_since(session.began) < self.longest
    }

    /// A name with `__Host-` is bound to this very host and to TLS by the browser.
    fn name(&self) -> &'static str {
        if self.secure {
            "__Host-aground"
        } else {
            "aground"
        }
    }

    fn cookie(&self, value: &str, seconds: u64) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        let name = self.name();
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
    }

    fn sent<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let lines = headers.get_all(header::COOKIE).into_iter();
        let pairs = lines.filter_map(|line| line.to_str().ok()?.split(';').map(str::trim).into());
        let mut pairs = pairs.flatten().filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(name, _)| *name == self.name())
            .map(|(_, value)| value)
    }
}

fn key(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// 256 bits from the kernel, as hexadecimal digits.
fn secret() -> std::io::Result<String> {
    use std::fmt::Write;
    let mut bytes = [0; 32];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn sent(cookie: &str) -> HeaderMap {
        let pair = cookie.split(';').next().unwrap();
        let line = format!("other=1; {pair}; last=\"x\"");
        [(header::COOKIE, line.parse().unwrap())]
            .into_iter()
            .collect()
    }

    #[test]
    fn a_session_ends_when_idle_when_old_and_at_sign_out() {
        let sessions = Sessions::new(MINUTE * 30, MINUTE * 60, false);
        let start = Instant::now();
        let cookie = sessions.begin("t1", start).unwrap();
        assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
        let headers = sent(&cookie);
        assert_eq!(sessions.token(&headers, start).as_deref(), Some("t1"));
        assert_eq!(sessions.token(&HeaderMap::new(), start), None);
        assert_eq!(sessions.token(&sent("aground=0"), start), None);
        // Used every 20 minutes it is not idle, and old after an hour.
        for minutes in [20, 40, 59] {
            let found = sessions.token(&headers, start + MINUTE * minutes);
            assert_eq!(found.as_deref(), Some("t1"), "{minutes}");
        }
        assert_eq!(sessions.token(&headers, start + MINUTE * 60), None);
        assert_eq!(sessions.token(&headers, start), None, "it is gone");

        let headers = sent(&sessions.begin("t2", start).unwrap());
        assert_eq!(sessions.token(&headers, start + MINUTE * 30), None);
        let headers = sent(&sessions.begin("t3", start).unwrap());
        assert!(sessions.end(&headers).starts_with("aground=; "));
        assert_eq!(sessions.token(&headers, start), None);
    }

    #[test]
    fn cookies_over_tls_are_bound_to_it() {
        let sessions = Sessions::new(MINUTE, MINUTE, true);
        let cookie = sessions.begin("t", Instant::now()).unwrap();
        assert!(cookie.starts_with("__Host-aground="), "{cookie}");
        assert!(cookie.ends_with("; Secure"), "{cookie}");
        let plain = cookie.replace("__Host-", "");
        assert_eq!(sessions.token(&sent(&plain), Instant::now()), None);
    }
}

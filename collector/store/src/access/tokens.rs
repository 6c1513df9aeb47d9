//! Keeps access tokens: `tokens.json` in the state directory, and not the database, so that nobody
//! is locked out by a database that was rebuilt.
//!
//! A token is 256 random bits. Only its SHA-256 is kept: there is nothing to guess that a slow hash
//! would protect.

use super::{Role, Scope};
use crate::database::lock;
use crate::files::{self, failed};
use crate::modules::hex;
use crate::store::{Store, StoreError, now_ms};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};

const FILE: &str = "tokens.json";
/// What tokens begin with, so that scanners of leaked secrets know them.
pub const PREFIX: &str = "aground_";
/// More than anybody can look after.
const MOST_TOKENS: usize = 1000;
/// The longest name, characters.
const LONGEST_NAME: usize = 64;
/// How much of the time of last use may be lost with the process, milliseconds.
const USE_PRECISION_MS: i64 = 60_000;

/// A token without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Names it: 8 hexadecimal digits.
    pub id: String,
    /// What people call it; no two have the same.
    pub name: String,
    /// What its bearer may do.
    pub role: Role,
    /// Which crashes its bearer sees.
    pub scope: Scope,
    /// When it was made, milliseconds since the epoch.
    pub created_at_ms: i64,
    /// From when on it is worth nothing.
    pub expires_at_ms: Option<i64>,
    /// When it was last used, to the minute.
    pub last_used_ms: Option<i64>,
    /// From where.
    pub last_used_from: Option<String>,
}

impl Token {
    /// Whether it is worth nothing any more.
    pub fn is_expired(&self, now_ms: i64) -> bool {
        self.expires_at_ms.is_some_and(|end| end <= now_ms)
    }
}

/// What a new token shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// Its name; made from its id where there is none.
    pub name: Option<String>,
    /// What its bearer may do.
    pub role: Role,
    /// Which crashes its bearer sees.
    pub scope: Scope,
    /// From when on it is worth nothing, milliseconds since the epoch.
    pub expires_at_ms: Option<i64>,
}

/// Why a secret is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Worthless {
    /// No token has it: wrong, or removed.
    #[error("this token is not known: it is wrong, or was removed")]
    Unknown,
    /// Its time is over.
    #[error("this token has expired")]
    Expired,
}

#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    token: Token,
    sha256: String,
}

/// All of them, as they are in the file.
pub(crate) struct Tokens {
    path: PathBuf,
    kept: Vec<Kept>,
}

impl Tokens {
    pub(crate) fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let path = state_dir.join(FILE);
        let kept = files::read_json(&path)?.unwrap_or_default();
        Ok(Self { path, kept })
    }

    /// Writes the file, then lets the change count.
    fn replace(&mut self, kept: Vec<Kept>) -> Result<(), StoreError> {
        let json = serde_json::to_vec_pretty(&kept)
            .map_err(io::Error::from)
            .map_err(failed("cannot write", &self.path))?;
        files::write_whole(&self.path, &json)?;
        self.kept = kept;
        Ok(())
    }
}

impl Store {
    /// All tokens, oldest first.
    pub fn tokens(&self) -> Vec<Token> {
        let tokens = lock(&self.inner.tokens);
        tokens.kept.iter().map(|kept| kept.token.clone()).collect()
    }

    /// Makes a token. Its secret is told now and never again.
    pub fn create_token(&self, new: NewToken) -> Result<(Token, String), StoreError> {
        let secret = format!("{PREFIX}{}", random::<32>()?);
        let id = random::<4>()?;
        let name = new.name.unwrap_or_else(|| format!("token-{id}"));
        let mut tokens = lock(&self.inner.tokens);
        check_name(&name, &tokens.kept)?;
        let token = Token {
            id,
            name,
            role: new.role,
            scope: new.scope,
            created_at_ms: now_ms(),
            expires_at_ms: new.expires_at_ms,
            last_used_ms: None,
            last_used_from: None,
        };
        let mut kept = tokens.kept.clone();
        kept.push(Kept {
            token: token.clone(),
            sha256: digest(&secret),
        });
        tokens.replace(kept)?;
        Ok((token, secret))
    }

    /// Removes the token with this id or name, and says what it was. Its bearer is nobody from
    /// now on.
    pub fn remove_token(&self, id_or_name: &str) -> Result<Token, StoreError> {
        let mut tokens = lock(&self.inner.tokens);
        let mut kept = tokens.kept.clone();
        let found = kept
            .iter()
            .position(|kept| kept.token.id == id_or_name || kept.token.name == id_or_name);
        let removed = kept.remove(found.ok_or(StoreError::NotFound("token"))?);
        tokens.replace(kept)?;
        Ok(removed.token)
    }

    /// The token of a secret. Remembers that it was used, and from where.
    pub fn token_of(&self, secret: &str, from: &str) -> Result<Token, Worthless> {
        let digest = digest(secret);
        let mut tokens = lock(&self.inner.tokens);
        // All are compared, and each to its end: how long it takes says nothing.
        let found = tokens
            .kept
            .iter()
            .enumerate()
            .fold(None, |found, (at, kept)| {
                if is_equal(&kept.sha256, &digest) {
                    Some(at)
                } else {
                    found
                }
            });
        used(&mut tokens, found.ok_or(Worthless::Unknown)?, from)
    }

    /// The token with this id, as [`Self::token_of`] finds it: for who proved before to bear it.
    pub fn token_with_id(&self, id: &str, from: &str) -> Result<Token, Worthless> {
        let mut tokens = lock(&self.inner.tokens);
        let found = tokens.kept.iter().position(|kept| kept.token.id == id);
        used(&mut tokens, found.ok_or(Worthless::Unknown)?, from)
    }
}

fn used(tokens: &mut Tokens, at: usize, from: &str) -> Result<Token, Worthless> {
    let now = now_ms();
    let kept = tokens.kept.get_mut(at).ok_or(Worthless::Unknown)?;
    if kept.token.is_expired(now) {
        return Err(Worthless::Expired);
    }
    let last = kept.token.last_used_ms.unwrap_or(i64::MIN);
    let token = if now.saturating_sub(last) < USE_PRECISION_MS {
        kept.token.clone()
    } else {
        kept.token.last_used_ms = Some(now);
        kept.token.last_used_from = Some(from.to_owned());
        let token = kept.token.clone();
        let all = tokens.kept.clone();
        if let Err(error) = tokens.replace(all) {
            tracing::warn!(
                error = files::chain(&error),
                "cannot note when a token was used"
            );
        }
        token
    };
    Ok(token)
}

fn check_name(name: &str, kept: &[Kept]) -> Result<(), StoreError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    let refuse = |why: String| Err(StoreError::Refused(why));
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain) {
        return refuse(format!(
            "the name of a token is 1 to {LONGEST_NAME} letters, digits, \"-\", \"_\", \".\" and \"@\""
        ));
    }
    let taken = |kept: &Kept| kept.token.name == name || kept.token.id == name;
    if kept.iter().any(taken) {
        return refuse(format!("there is a token {name} already"));
    }
    if kept.len() >= MOST_TOKENS {
        return refuse(format!("there are {MOST_TOKENS} tokens: remove one"));
    }
    Ok(())
}

fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}

/// Compares to the end, wherever the first difference is.
fn is_equal(one: &str, other: &str) -> bool {
    let differing = one.bytes().zip(other.bytes());
    one.len() == other.len() && differing.fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// `N` bytes from the kernel, as hexadecimal digits.
fn random<const N: usize>() -> Result<String, StoreError> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let got = rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty());
        filled +=
            got.map_err(|errno| failed("cannot read", Path::new("getrandom"))(errno.into()))?;
    }
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn new(name: &str, expires_at_ms: Option<i64>) -> NewToken {
        NewToken {
            name: Some(name.to_owned()),
            role: Role::Read,
            scope: Scope::new(vec!["namespace=prod".to_owned()]).unwrap(),
            expires_at_ms,
        }
    }

    #[test]
    fn a_token_is_known_by_its_secret_until_it_expires_or_goes() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let (token, secret) = store.create_token(new("ci", None)).unwrap();
        let (_, old) = store.create_token(new("old", Some(1))).unwrap();
        assert_eq!(secret.len(), PREFIX.len() + 64);
        assert!(secret.starts_with(PREFIX));
        let found = store.token_of(&secret, "10.1.2.3").unwrap();
        assert_eq!(
            (found.id.as_str(), found.role),
            (token.id.as_str(), Role::Read)
        );
        assert_eq!(store.token_of(&old, ""), Err(Worthless::Expired));
        for wrong in ["", PREFIX, &token.id, &secret[1..], &format!("{secret}0")] {
            assert_eq!(
                store.token_of(wrong, ""),
                Err(Worthless::Unknown),
                "{wrong}"
            );
        }
        assert!(
            store.create_token(new("ci", None)).is_err(),
            "names are taken once"
        );
        assert!(store.create_token(new("a b", None)).is_err());

        drop(store);
        let text = std::fs::read_to_string(directory.path().join(FILE)).unwrap();
        assert!(!text.contains(secret.strip_prefix(PREFIX).unwrap()));
        let store = Store::open(directory.path()).unwrap();
        let used = store.token_with_id(&token.id, "").unwrap();
        assert_eq!(used.last_used_from.as_deref(), Some("10.1.2.3"));
        assert_eq!(store.remove_token("ci").unwrap().id, token.id);
        assert_eq!(store.token_of(&secret, ""), Err(Worthless::Unknown));
        assert_eq!(store.token_with_id(&token.id, ""), Err(Worthless::Unknown));
        assert!(matches!(
            store.remove_token("ci"),
            Err(StoreError::NotFound(_))
        ));
    }
}

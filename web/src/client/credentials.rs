//! What a program shows to a remote daemon, and whom it trusts to be one.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio_rustls::rustls::ClientConfig;

/// The longest token file, bytes.
const LONGEST: usize = 4096;

/// Those of the program that runs.
static CHOSEN: OnceLock<Credentials> = OnceLock::new();

/// What is shown and trusted.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The access token, shown to remote daemons and never to a unix socket.
    pub token: Option<String>,
    /// The authority that a daemon's certificate must be of; the machine's own without.
    pub ca: Option<PathBuf>,
}

/// Tokens are not shown.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "…");
        let mut shown = f.debug_struct("Credentials");
        shown.field("token", &token).field("ca", &self.ca).finish()
    }
}

/// A file holds no token.
#[derive(Debug, thiserror::Error)]
pub enum BadToken {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{0} does not hold an access token")]
    Content(String),
}

/// What every client of this program shows and trusts from now on; the first call counts.
/// `AGROUND_TOKEN`, `AGROUND_TOKEN_FILE` and `AGROUND_CA` say what the arguments do not.
pub fn use_for_all(token_file: Option<&Path>, ca: Option<PathBuf>) -> Result<(), BadToken> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let named = variable("AGROUND_TOKEN_FILE").map(PathBuf::from);
    let token = match (token_file, variable("AGROUND_TOKEN")) {
        (Some(file), _) => Some(read(file)?),
        (None, Some(token)) => {
            let token = token.to_string_lossy().into_owned();
            Some(checked(&token, || "AGROUND_TOKEN".to_owned())?)
        }
        (None, None) => named.as_deref().map(read).transpose()?,
    };
    let ca = ca.or_else(|| variable("AGROUND_CA").map(PathBuf::from));
    CHOSEN.get_or_init(|| Credentials { token, ca });
    Ok(())
}

/// What [`use_for_all`] chose.
pub(super) fn chosen() -> Credentials {
    CHOSEN.get().cloned().unwrap_or_default()
}

fn read(path: &Path) -> Result<String, BadToken> {
    let text = std::fs::read_to_string(path).map_err(|source| BadToken::Read {
        path: path.to_owned(),
        source,
    })?;
    checked(&text, || path.display().to_string())
}

/// A token is one word that a header can hold.
fn checked(text: &str, name: impl Fn() -> String) -> Result<String, BadToken> {
    let token = text.trim();
    let plain = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if plain && token.len() <= LONGEST {
        return Ok(token.to_owned());
    }
    Err(BadToken::Content(name()))
}

impl Credentials {
    /// Whom to trust.
    pub(super) fn authorities(&self) -> io::Result<Arc<ClientConfig>> {
        match &self.ca {
            Some(file) => aground_daemon::outgoing::trusting(file),
            None => aground_daemon::outgoing::authorities(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tokens_are_one_word_and_are_not_shown() {
        let check =
            |text: &str| checked(text, || "F".to_owned()).map_err(|error| error.to_string());
        assert_eq!(check(" aground_12\n").unwrap(), "aground_12");
        for wrong in ["", "a b", "a\nb", "ü"] {
            assert_eq!(check(wrong).unwrap_err(), "F does not hold an access token");
        }
        let credentials = Credentials {
            token: Some("secret".to_owned()),
            ca: None,
        };
        assert!(!format!("{credentials:?}").contains("secret"));
    }
}

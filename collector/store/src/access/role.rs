//! What somebody may do, in three steps of which each holds the one before.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// See crashes, their causes and stacks; nothing that was in the process's memory.
    Read,
    /// See memory too (cores, variables, environment, logs), and decide about crashes.
    Debug,
    /// Remove, configure, and hand out access.
    Admin,
}

/// The text names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no role: there are read, debug, admin")]
pub struct InvalidRole(String);

impl Role {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Debug => "debug",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = InvalidRole;

    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        [Role::Read, Role::Debug, Role::Admin]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| InvalidRole(text.chars().take(60).collect()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_role_holds_the_one_before() {
        assert!(Role::Read < Role::Debug && Role::Debug < Role::Admin);
        for role in [Role::Read, Role::Debug, Role::Admin] {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        let error = "root".parse::<Role>().unwrap_err().to_string();
        assert_eq!(error, "\"root\" is no role: there are read, debug, admin");
    }
}

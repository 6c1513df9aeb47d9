//! Who may do what: the needs of each route, and who asks.
//!
//! Every route says what it needs ([`route::Route`]); there is no other way to make one. Before a
//! request reaches its route, [`gate::Gate`] finds out who asks ([`Access`]); the route's own
//! guard compares the two.

pub mod gate;
pub mod route;

use aground_store::access::Role;

/// Who asks, and what they may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// What they may do; nothing while nobody has signed in.
    pub role: Option<Role>,
    /// Whether they see some crashes only.
    pub scoped: bool,
}

impl Access {
    /// Somebody who may do everything.
    pub fn everything() -> Self {
        Self {
            role: Some(Role::Admin),
            scoped: false,
        }
    }
}

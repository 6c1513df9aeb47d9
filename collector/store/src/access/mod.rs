//! Who may see what: roles, tokens, scopes that hide crashes, and what was taken by whom.

pub(crate) mod audit;
mod role;
mod scope;
mod sight;
pub(crate) mod tokens;
pub(crate) mod views;

pub use audit::Audited;
pub use role::{InvalidRole, Role};
pub use scope::{InvalidScope, Scope};
pub use sight::Sight;
pub use tokens::{NewToken, PREFIX, Token, Worthless};

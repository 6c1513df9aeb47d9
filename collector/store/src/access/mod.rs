//! Who may see what: roles, and scopes that hide crashes.

mod role;

pub use role::{InvalidRole, Role};

//! Why gdb and we differ, where we do.

use super::compare::Placed;

/// The reason for a difference in one crash; `None` when there is none known.
pub fn explanation(
    _crash: &str,
    _gdb: Option<&Placed>,
    _ours: Option<&Placed>,
) -> Option<&'static str> {
    None
}

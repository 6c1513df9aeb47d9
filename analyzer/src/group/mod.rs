//! Signs a crash: which others have the same cause.
//!
//! Version 1 is exact. Two crashes share a group when these agree:
//!
//! * the *class* of the cause ([`class`]): a null dereference and a wild pointer in one place are
//!   one bug seen twice, an assertion there is another one;
//! * for assertions and panics, the text with numbers, addresses and quotations folded;
//! * the first [`MAX_KEPT`] frames that count, by normalized function name. Lines, addresses,
//!   paths and the signal are left out, so that another build, host or container, or a process
//!   that was PID 1 (where `abort()` ends in SIGSEGV), changes nothing.
//!
//! Which frames count is decided by the text files in `rules/`, frame by frame, and every decision
//! is in the signature. Without function names, frames count by build ID and offset; without a
//! stack, the executable and the signal are all there is.
//!
//! What changed: 1 (2026-11): first version.

mod normalize;
mod rules;
mod signature;

pub use normalize::normalize;
pub use rules::in_app;
pub(crate) use rules::is_plumbing;
pub use signature::{MAX_KEPT, SIGNATURE_VERSION, SignFacts, class, place, sign};

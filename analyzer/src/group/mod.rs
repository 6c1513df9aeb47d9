//! Signs a crash: which others have the same cause.
//!
//! ```text
//! normalize   names without what differs between builds     rules   which functions do not count
//! judge       what counts, frame by frame                   message the words that are the bug's own
//! signature   title, class and hash of what counts          similarity  of two signatures
//! ```
//!
//! Two crashes are of one *class* when their causes look alike ([`class`]: a null dereference and a
//! wild pointer in one place are one bug seen twice, an assertion there is another one) and, for
//! assertions and panics, the text is the same with numbers, addresses and quotations folded.
//! Crashes of one class with the same first [`MAX_KEPT`] frames that count have the same hash.
//! Others are compared by [`similarity`], which the first frame decides unless it is a frame of
//! many bugs. Lines, addresses, paths and the signal are left out, so that another build, host or
//! container, or a process that was PID 1 (where `abort()` ends in SIGSEGV), changes nothing.
//!
//! Which frames count is decided by the text files in `rules/` and the service's own rules, and
//! every decision is in the signature. Without function names, frames count by build ID and the
//! place where their function begins; without a stack, the executable and the signal are all
//! there is.
//!
//! What changed: 3 (2026-11): what may be hidden where there is no debug information; where panics
//! say that they were. 2 (2026-11): similarity; eight frames instead of five; functions without names
//! by where they begin; recursions by what recurs; helpers; rules of the service's own.
//! 1 (2026-11): first version.

mod align;
mod judge;
mod message;
mod normalize;
mod rules;
mod signature;
mod similarity;
#[cfg(test)]
mod tests;

pub use align::align;
pub use judge::MAX_KEPT;
pub use normalize::normalize;
pub(crate) use rules::is_plumbing;
pub use rules::{RuleError, Rules, in_app};
pub use signature::{SIGNATURE_VERSION, SignFacts, class, place, sign, sign_again};
pub use similarity::{LIKE, Part, Role, SAME, keys, parts, rarity, similarity, weigh};

//! What happens at the moment of death, and the words both sides share.
//!
//! The kernel runs `aground-collect` (this crate's binary) when a process dies of a
//! core-dumping signal. Everything it learns goes into a spool entry: a directory with
//! [`record::Record`] as `record.json`, the core, and the mapped files not yet in the module
//! store. The daemon takes entries from there; the two never talk otherwise.
//!
//! ```text
//! argv ─► kernel_args ─► process (pin, /proc) ─► container (cgroup) ─► disk (runtimes' files)
//!                                                      │
//!      spool ◄─ record ◄─ policy ◄─────────────────────┘
//!        └─► capture::stream (memory) ─► release ─► capture::modules, log ─► spool (ready)
//! ```
//!
//! [`run`] is that path on one page.

pub mod access;
mod arrival;
pub mod bounded;
pub mod capture;
pub mod container;
mod context;
pub mod disk;
mod forward;
pub mod glob;
pub mod governor;
pub mod id;
pub mod identity;
pub mod install;
pub mod kernel_args;
pub mod label;
pub mod layout;
pub mod listener;
pub mod log_tail;
pub mod policy;
pub mod process;
pub mod record;
pub mod redact;
pub mod reserve;
pub mod run;
pub mod settings;
pub mod spool;
pub mod supervisor;
mod surroundings;
mod sys;
pub mod text;
pub mod thin;
mod turn;
pub mod units;
mod watchdog;
pub mod whoami;

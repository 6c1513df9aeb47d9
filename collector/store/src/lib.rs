//! What is kept: the database, the files, queries over them. No SQL lives elsewhere.
//!
//! The files are the truth: `dumps/<id>/record.json` and `report.json`. Every step that changes
//! both files and rows is ordered so that a kill between any two of them loses nothing:
//!
//! | operation | order | what a kill leaves, and who mends it |
//! |---|---|---|
//! | admit  | modules → rename to `dumps/` → row + job | entry still in the spool (the next rescan), or files without a row ([`Store::reindex`]) |
//! | report | `report.json` → row + group + job done | a leased job ([`Store::requeue_leases`]) |
//! | drop memory | see [`keeping`] | `core.zst.new` or `trash/<id>.core` ([`Store::reindex`]) |
//! | remove | rename to `trash/` → row → delete files | files in `trash/` ([`Store::reindex`]) |

pub mod access;
mod admit;
mod assign;
mod chance;
mod database;
mod dumps;
mod events;
mod facets;
mod files;
mod groups;
mod histogram;
pub mod history;
pub mod hosts;
pub mod image_builds;
pub mod imports;
pub mod investigations;
mod jobs;
pub mod keeping;
pub mod lifecycle;
pub mod likeness;
mod modules;
mod name_sets;
mod names;
pub mod notices;
pub mod overview;
pub mod properties;
pub mod proposals;
pub mod query;
mod regroup;
mod reindex;
mod remove;
mod resolve;
pub mod retention;
pub mod searches;
mod similar;
mod stack;
mod status;
pub mod store;
pub mod symbols;
pub mod tally;
pub mod trial;
pub mod types;
pub mod wanted;
mod words;

pub use admit::Arrival;
pub use assign::Assignment;
pub use events::{EventRange, StoredEvent};
pub use histogram::Trend;
pub use jobs::Job;
pub use query::{Query, QueryError};
pub use reindex::{Rebuilt, Reindexed};
pub use store::{Histogram, ResolveError, Store, StoreError};

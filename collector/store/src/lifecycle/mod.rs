//! The life of groups: what people, rules and the daemon decide about them.
//!
//! Every decision is a [`Change`], recorded with who and when and never rewritten. What a group
//! comes to ([`Life`]) is a fold over its changes; to undo one is to fold without it. Rows are
//! computed from that, so that lists and queries need not fold:
//!
//! ```text
//! change ──► group_changes ──fold──► group_lives, group_tags, group_notes, groups.state
//!    │             └──merges, splits──► group_edges ──route──► dumps.group_id
//!    └──► changes.jsonl, from which a lost database is rebuilt
//! ```
//!
//! A group that is merged into another keeps its id, which means the other from then on.

pub mod change;
mod entries;
mod images;
mod journal;
mod life;
mod project;
mod record;
mod reroute;
mod returns;
mod route;
mod settle;
mod split;
mod version;

pub use change::{
    Actor, Change, Entry, Evidence, Identity, ImageMark, Split, Until, Verdict, is_link,
};
pub(crate) use images::see;
pub(crate) use journal::Journal;
pub use life::{Exhibit, Life, Note, State, Theory};
pub use record::Changed;
pub(crate) use route::{live, route};
pub(crate) use settle::{Settled, came};

use crate::store::StoreError;
use serde::de::DeserializeOwned;

/// JSON of ours in a column.
fn parse<T: DeserializeOwned>(json: &str) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
            .into()
    })
}

//! What can be decided about a group, and who decided it.

use crate::store::StoreError;
use aground_helper::id::DumpId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The most bytes of a note, a theory or its evidence.
pub const LONGEST_TEXT: usize = 16 << 10;
/// The most bytes of a tag, an owner or a ticket.
pub const LONGEST_WORD: usize = 500;

/// Who decided something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// User id, as the kernel tells it of the other end of a socket; `None` where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The user's name, a rule's name, or an address.
    pub name: String,
    /// How: `api`, `page`, `rule`, or `aground` for what the daemon does on its own.
    pub via: String,
}

impl Actor {
    /// The daemon itself.
    pub fn aground() -> Self {
        Self {
            uid: None,
            name: "aground".to_owned(),
            via: "aground".to_owned(),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.via.as_str(), self.uid) {
            ("rule", _) => write!(f, "rule {}", self.name),
            (_, Some(uid)) if self.name.is_empty() => write!(f, "uid {uid}"),
            _ => f.write_str(&self.name),
        }
    }
}

/// One change, as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number; later changes have greater ones.
    pub sequence: i64,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// Who.
    pub by: Actor,
    /// The group, as it was called then.
    pub group: String,
    /// What.
    pub change: Change,
    /// Whether a later change took it back.
    #[serde(default)]
    pub undone: bool,
}

/// What is decided about a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Change {
    /// What the group was when something was first decided about it, so that it can be told after
    /// its last dump is gone. Recorded by the store itself.
    Known(Identity),
    /// Its cause is no more; what crashes after is a regression.
    Resolve {
        /// In this image and later ones of its repository; older ones may still crash.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        image: Option<ImageMark>,
    },
    /// Nobody wants to hear of it.
    Ignore {
        /// Until when.
        until: Until,
    },
    /// It is open again.
    Reopen {
        /// Why, when no person said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// It came back after it was resolved. Recorded by the store itself.
    Regress {
        /// The crash.
        dump: String,
        /// How it is known to be a new one.
        why: String,
    },
    /// Its crashes, those to come too, belong to another group.
    Merge {
        /// That one.
        into: String,
    },
    /// It is another bug than the one of another group, however alike they are.
    Distinct {
        /// That one.
        from: String,
    },
    /// Some of its crashes, those to come too, are a group of their own.
    Split {
        /// That one.
        into: String,
        /// Which.
        split: Split,
    },
    /// A word to find it by.
    Tag {
        /// The word.
        tag: String,
    },
    /// No longer that word.
    Untag {
        /// The word.
        tag: String,
    },
    /// A link to where it is worked on.
    Ticket {
        /// The link, or the name of the ticket.
        ticket: String,
    },
    /// No longer that link.
    Unticket {
        /// The link.
        ticket: String,
    },
    /// Who looks after it.
    Owner {
        /// Their name; `None`: nobody.
        owner: Option<String>,
    },
    /// Something worth knowing.
    Note {
        /// The text.
        text: String,
    },
    /// What the cause may be. Its number is the change's.
    Theory {
        /// The text.
        text: String,
    },
    /// What speaks for or against a theory.
    Evidence {
        /// The theory.
        theory: i64,
        /// What.
        evidence: Evidence,
    },
    /// What became of a theory.
    Verdict {
        /// The theory.
        theory: i64,
        /// What.
        verdict: Verdict,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// An earlier change is taken back; when that was an undo itself, what it undid holds again.
    Undo {
        /// That one.
        change: i64,
    },
}

/// What a group's signature was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// SHA-256 that the group is found by.
    pub hash: String,
    /// Version of the rules.
    pub version: u32,
    /// What it is made of.
    pub made_of: String,
    /// Readable signature.
    pub title: String,
}

/// An image, as exactly as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageMark {
    /// Reference, such as `shop/api:1.4`.
    pub reference: String,
    /// Digest in its registry, else the image's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
}

/// When to hear of a group again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// When somebody opens it.
    Reopened,
    /// After so many more crashes.
    Crashes(u64),
    /// From then on, milliseconds since the epoch.
    Date(i64),
}

/// Which crashes of a group are another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Those with these signatures (heads of their hashes).
    Signatures(Vec<String>),
    /// Those that match a query.
    Query(String),
}

/// What speaks for or against a theory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// A crash.
    Dump(DumpId),
    /// A remark.
    Note(String),
    /// Something elsewhere.
    Link(String),
}

/// What became of a theory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Not tested yet.
    #[default]
    Proposed,
    /// It is so.
    Proven,
    /// It is not so.
    Disproven,
}

impl Verdict {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Proposed => "proposed",
            Verdict::Proven => "proven",
            Verdict::Disproven => "disproven",
        }
    }
}

impl Change {
    /// Checks what people typed: that there is something, that it is short enough, and on one
    /// line where it must be. Returns it without white space around it.
    pub(crate) fn checked(mut self) -> Result<Self, StoreError> {
        match &mut self {
            Change::Tag { tag } | Change::Untag { tag } => word("tag", tag, false)?,
            Change::Ticket { ticket } | Change::Unticket { ticket } => {
                word("ticket", ticket, true)?;
            }
            Change::Owner { owner: Some(owner) } => word("owner", owner, true)?,
            Change::Note { text } => prose("note", text)?,
            Change::Theory { text } => prose("theory", text)?,
            Change::Verdict { why: Some(why), .. } => prose("reason", why)?,
            Change::Evidence { evidence, .. } => match evidence {
                Evidence::Note(text) => prose("note", text)?,
                Evidence::Link(link) => {
                    word("link", link, true)?;
                    if !is_link(link) {
                        return Err(StoreError::Refused(
                            "a link starts with http:// or https://".to_owned(),
                        ));
                    }
                }
                Evidence::Dump(_) => {}
            },
            Change::Resolve { image: Some(image) } => word("image", &mut image.reference, false)?,
            Change::Ignore {
                until: Until::Crashes(0),
            } => {
                return Err(StoreError::Refused(
                    "to ignore until 0 more crashes is not to ignore".to_owned(),
                ));
            }
            _ => {}
        }
        Ok(self)
    }
}

/// Whether a text may be shown as a link: a browser runs those of some other schemes.
pub fn is_link(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

fn word(what: &str, text: &mut String, spaces: bool) -> Result<(), StoreError> {
    let trimmed = text.trim();
    let bad = |c: char| c.is_control() || (!spaces && c.is_whitespace());
    let refused = |reason: &str| Err(StoreError::Refused(format!("a {what} {reason}")));
    match trimmed {
        "" => return refused("must not be empty"),
        long if long.len() > LONGEST_WORD => return refused("is at most 500 bytes long"),
        odd if odd.contains(bad) && spaces => return refused("is one line"),
        odd if odd.contains(bad) => return refused("is one word"),
        fine => *text = fine.to_owned(),
    }
    Ok(())
}

fn prose(what: &str, text: &mut String) -> Result<(), StoreError> {
    let trimmed = text.trim();
    let refused = |reason: &str| Err(StoreError::Refused(format!("a {what} {reason}")));
    match trimmed {
        "" => return refused("must not be empty"),
        long if long.len() > LONGEST_TEXT => return refused("is at most 16 KiB long"),
        fine => *text = fine.replace("\r\n", "\n").replace('\0', "\u{2400}"),
    }
    Ok(())
}

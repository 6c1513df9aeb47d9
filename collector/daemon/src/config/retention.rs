//! The `[retention]` section: how much is kept, and for how long.

use aground_helper::units::{Bytes, Span, UnitError};
use aground_store::retention::Limits;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::str::FromStr;

/// How much is kept, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Most bytes of dumps and modules together.
    pub max_bytes: Share,
    /// What must stay free on the disk of the state directory.
    pub min_free: Share,
    /// Dumps older than this are deleted; `None`: never for their age.
    pub max_age: Option<Span>,
    /// Memory older than this is dropped; `None`: never for its age.
    pub memory_age: Option<Span>,
    /// So many dumps of each group keep their memory as long as anything else can give.
    pub per_group: u64,
    /// Disk space held ready, so that crashes are recorded on a full disk.
    pub reserve: Bytes,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            max_bytes: Share::Percent(20),
            min_free: Share::Bytes(1 << 30),
            max_age: None,
            memory_age: None,
            per_group: 3,
            reserve: Bytes(16 << 20),
        }
    }
}

impl Retention {
    /// The limits on a file system of `disk` bytes.
    pub fn limits(&self, disk: u64) -> Limits {
        let milliseconds = |span: Span| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX);
        Limits {
            max_bytes: Some(self.max_bytes.of(disk)),
            min_free: self.min_free.of(disk),
            max_age_ms: self.max_age.map(milliseconds),
            memory_age_ms: self.memory_age.map(milliseconds),
            per_group: self.per_group,
        }
    }
}

/// A size, or a part of the disk: `10GiB`, `20%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// So many bytes.
    Bytes(u64),
    /// So many hundredths of the disk, at most 100.
    Percent(u8),
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Share::Bytes(bytes) => Bytes(*bytes).serialize(serializer),
            Share::Percent(percent) => serializer.collect_str(&format_args!("{percent}%")),
        }
    }
}

impl Share {
    /// Its bytes on a file system of `disk` bytes.
    pub fn of(self, disk: u64) -> u64 {
        match self {
            Share::Bytes(bytes) => bytes,
            Share::Percent(percent) => (disk / 100).saturating_mul(u64::from(percent)),
        }
    }
}

/// Not a size and not a part of the disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// Not a percentage.
    #[error("\"{0}\" is not a percentage from 0% to 100%")]
    Percent(String),
    /// Not a size.
    #[error("{0}, or a part of the disk such as 20%")]
    Size(#[from] UnitError),
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let Some(number) = text.trim().strip_suffix('%') else {
            return Ok(Share::Bytes(text.parse::<Bytes>()?.0));
        };
        let percent = number.trim().parse().ok().filter(|percent| *percent <= 100);
        percent
            .map(Share::Percent)
            .ok_or_else(|| ShareError::Percent(text.chars().take(100).collect()))
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "expected a number of bytes, a size or a percentage"
        )]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(bytes) => Ok(Share::Bytes(bytes)),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_share_is_a_size_or_a_part_of_the_disk() {
        for (text, bytes) in [("10GiB", 10 << 30), ("20%", 200), ("0%", 0), ("7", 7)] {
            assert_eq!(text.parse::<Share>().unwrap().of(1000), bytes, "{text}");
        }
        for (text, message) in [
            ("101%", "\"101%\" is not a percentage from 0% to 100%"),
            ("-1%", "\"-1%\" is not a percentage from 0% to 100%"),
            (
                "lots",
                "\"lots\" is not a size such as 512MiB or 2GB, or a part of the disk such as 20%",
            ),
        ] {
            assert_eq!(text.parse::<Share>().unwrap_err().to_string(), message);
        }
    }
}

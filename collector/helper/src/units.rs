//! Sizes and durations as people write them: `512MiB`, `2GB`, `1.5GiB`, `30s`, `250ms`, `7d`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes. A number alone is bytes; `kB MB GB TB` are decimal, `KiB MiB GiB TiB` and
/// the single letters `k m g t` (as Docker has them) binary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A span of time, in milliseconds when a number alone. Units: `ms`, `s`, `m`, `h`, `d`, `w`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A size or duration that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not {expected}")]
pub struct UnitError {
    text: String,
    expected: &'static str,
}

const SIZE: &str = "a size such as 512MiB or 2GB";
const SPAN: &str = "a duration such as 30s, 250ms or 7d";

impl FromStr for Bytes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let factor = |unit: &str| {
            Some(match unit.to_ascii_lowercase().as_str() {
                "" | "b" => 1,
                "kb" => 1_000,
                "mb" => 1_000_000,
                "gb" => 1_000_000_000,
                "tb" => 1_000_000_000_000,
                "k" | "kib" => 1 << 10,
                "m" | "mib" => 1 << 20,
                "g" | "gib" => 1 << 30,
                "t" | "tib" => 1 << 40,
                _ => return None,
            })
        };
        scaled(text, factor)
            .map(Self)
            .ok_or_else(|| error(text, SIZE))
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let factor = |unit: &str| {
            Some(match unit {
                "" | "ms" => 1,
                "s" => 1_000,
                "m" | "min" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                "w" => 604_800_000,
                _ => return None,
            })
        };
        scaled(text, factor)
            .map(|ms| Self(Duration::from_millis(ms)))
            .ok_or_else(|| error(text, SPAN))
    }
}

fn error(text: &str, expected: &'static str) -> UnitError {
    UnitError {
        text: text.chars().take(100).collect(),
        expected,
    }
}

/// A decimal number, with at most three digits behind the point, times the factor of its unit.
fn scaled(text: &str, factor: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let factor = factor(unit.trim_start())?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = u32::try_from(part.len()).ok().filter(|count| *count <= 3)?;
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    if part.is_empty() {
        return (!number.ends_with('.')).then_some(whole);
    }
    let part = part.parse::<u64>().ok()?.checked_mul(factor)?;
    whole.checked_add(part.checked_div(10u64.checked_pow(digits)?)?)
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [
            (1u64 << 40, "TiB"),
            (1 << 30, "GiB"),
            (1 << 20, "MiB"),
            (1 << 10, "KiB"),
        ];
        let exact = units
            .iter()
            .find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit));
        match exact {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        let units = [
            (86_400_000u128, "d"),
            (3_600_000, "h"),
            (60_000, "m"),
            (1_000, "s"),
        ];
        let exact = units
            .iter()
            .find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
        match exact {
            Some((unit, name)) => write!(f, "{}{name}", ms / unit),
            None => write!(f, "{ms}ms"),
        }
    }
}

/// A number alone, or a text with a unit.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number or a text with a unit")]
enum Written {
    Number(u64),
    Text(String),
}

macro_rules! as_written {
    ($type:ident, $from:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match Written::deserialize(deserializer)? {
                    Written::Number(number) => Ok($from(number)),
                    Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
                }
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}
as_written!(Bytes, Bytes);
as_written!(Span, |ms| Span(Duration::from_millis(ms)));

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in [
            ("0", 0),
            ("1000", 1000),
            ("512MiB", 512 << 20),
            ("512m", 512 << 20),
            ("2 GB", 2_000_000_000),
            ("1.5GiB", 3 << 29),
            ("1.25kB", 1250),
            ("16777215TiB", 16_777_215 << 40),
        ] {
            let read: Bytes = text.parse().unwrap();
            assert_eq!(read.0, bytes, "{text}");
            assert_eq!(read.to_string().parse(), Ok(read), "{text}");
        }
        let wrong = [
            "",
            "x",
            "-1",
            "1.",
            ".5",
            "1..2",
            "1 XB",
            "1e9",
            "99999999TiB",
            "1.0001k",
            "٣",
        ];
        for text in wrong {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
        assert_eq!(
            "many".parse::<Bytes>().unwrap_err().to_string(),
            "\"many\" is not a size such as 512MiB or 2GB"
        );
    }

    #[test]
    fn durations_are_read_and_written() {
        for (text, ms) in [
            ("250", 250),
            ("250ms", 250),
            ("30s", 30_000),
            ("1.5h", 5_400_000),
            ("7d", 604_800_000),
        ] {
            let read: Span = text.parse().unwrap();
            assert_eq!(read.0.as_millis(), ms, "{text}");
            assert_eq!(read.to_string().parse(), Ok(read), "{text}");
        }
        for text in ["", "s", "-1s", "1y", "1s2"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}

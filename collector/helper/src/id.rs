//! Names one dump.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The name of a dump: 32 lowercase hexadecimal digits, random, so that a short prefix is
/// enough to type and the id is safe as a file name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DumpId(String);

/// The text is not 32 lowercase hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a dump id (32 lowercase hexadecimal digits)")]
pub struct InvalidDumpId;

impl DumpId {
    /// The number of digits of an id.
    pub const LENGTH: usize = 32;

    /// Makes an id of 16 random bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        use fmt::Write;
        let mut text = String::with_capacity(Self::LENGTH);
        for byte in bytes {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, as Docker shows ids.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl Default for DumpId {
    /// The id of sixteen zero bytes, which no dump gets.
    fn default() -> Self {
        Self::from_bytes([0; 16])
    }
}

impl FromStr for DumpId {
    type Err = InvalidDumpId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if digits && text.len() == Self::LENGTH {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidDumpId)
        }
    }
}

impl TryFrom<String> for DumpId {
    type Error = InvalidDumpId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DumpId> for String {
    fn from(id: DumpId) -> Self {
        id.0
    }
}

impl fmt::Display for DumpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hex_of_the_right_length_is_an_id() {
        let id = DumpId::from_bytes([0xab; 16]);
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        assert_eq!(id.short(), "abababababab");
        for wrong in [
            "",
            "ab",
            "../../../../../../etc/passwd0000",
            &"G".repeat(32),
            &"A".repeat(32),
        ] {
            assert_eq!(wrong.parse::<DumpId>(), Err(InvalidDumpId), "{wrong}");
        }
    }
}

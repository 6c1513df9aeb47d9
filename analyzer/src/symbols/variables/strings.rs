//! Shows texts: of characters up to a zero byte, and of the languages' own strings.

use super::super::entry::Entry;
use super::location::Place;
use super::numbers::unsigned;
use super::render::Writer;
use super::{Missing, types};
use gimli::AttributeValue;
use std::fmt::Write as _;

/// Longest text in a value, bytes.
pub(super) const STRING_MAX: u64 = 200;

impl<'s, 'a> Writer<'_, 's, '_, 'a> {
    /// Text up to its end: `length`, or a zero byte.
    pub(super) fn string(&mut self, place: &Place, length: Option<u64>) {
        let mut text = Vec::new();
        let limit = length.unwrap_or(STRING_MAX).min(STRING_MAX);
        let mut ended = length.is_some_and(|length| length <= STRING_MAX);
        for at in 0..limit {
            match self.scene.bytes(place, at, 1).as_deref() {
                Ok([0]) if length.is_none() => {
                    ended = true;
                    break;
                }
                Ok([byte]) => text.push(*byte),
                _ if text.is_empty() => {
                    self.text.push(' ');
                    return self.missing(Missing::Absent);
                }
                _ => break,
            }
        }
        let shown = String::from_utf8_lossy(&text);
        let more = if ended { "" } else { "…" };
        let _ = write!(self.text, " {shown:?}{more}");
    }

    /// Strings of the languages' libraries, by the names of their types and members.
    pub(super) fn well_known_text(&mut self, kind: Entry<'s, 'a>, offset: u64) -> bool {
        let name = kind.text(gimli::DW_AT_name).unwrap_or_default();
        let (address, length): (&[&str], &[&str]) = match name.as_str() {
            "&str" => (&["data_ptr"], &["length"]),
            "string" => (&["str"], &["len"]),
            "String" => (
                &["vec", "buf", "inner", "ptr", "pointer", "pointer"],
                &["vec", "len"],
            ),
            name if name.starts_with("basic_string<char,") => {
                (&["_M_dataplus", "_M_p"], &["_M_string_length"])
            }
            name if name.starts_with("basic_string_view<char,") => (&["_M_str"], &["_M_len"]),
            _ => return false,
        };
        let (address, length) = (
            self.member(kind, offset, address),
            self.member(kind, offset, length),
        );
        let (Some(address), Some(length)) = (address, length) else {
            return false;
        };
        let before = self.text.len();
        self.string(&Place::Memory(address), Some(length));
        if self.text.as_bytes().get(before) == Some(&b' ') {
            self.text.remove(before);
        }
        true
    }

    /// A number in a member of a member.
    fn member(&self, kind: Entry<'s, 'a>, offset: u64, path: &[&str]) -> Option<u64> {
        let (mut kind, mut offset) = (kind, offset);
        for step in path {
            let mut children = kind.children().into_iter();
            let member = children.find(|child| {
                child.tag() == Some(gimli::DW_TAG_member)
                    && child.text(gimli::DW_AT_name).as_deref() == Some(step)
            })?;
            offset = offset.wrapping_add(
                member
                    .number(gimli::DW_AT_data_member_location)
                    .unwrap_or(0),
            );
            kind = types::plain(member.follow(gimli::DW_AT_type)?)?.0;
        }
        let bytes = self.bytes(kind, offset).ok()?;
        u64::try_from(unsigned(&bytes)).ok()
    }
}

/// Whether a type's values are characters of a text.
pub(super) fn is_character(kind: Entry<'_, '_>) -> bool {
    let Some((kind, gimli::DW_TAG_base_type)) = types::plain(kind) else {
        return false;
    };
    let read = kind.read();
    let encoding = read.and_then(|read| read.attr_value(gimli::DW_AT_encoding));
    matches!(
        encoding,
        Some(AttributeValue::Encoding(
            gimli::DW_ATE_signed_char | gimli::DW_ATE_unsigned_char
        ))
    ) && kind
        .text(gimli::DW_AT_name)
        .is_some_and(|name| name.contains("char"))
}

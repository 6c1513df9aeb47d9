//! Writes values as people read them: numbers, texts, members, elements.

use super::super::entry::Entry;
use super::location::Place;
use super::numbers::{number, signed, unsigned};
use super::strings::{STRING_MAX, is_character};
use super::types;
use super::{Missing, Scene};
use gimli::AttributeValue;
use std::fmt::Write as _;

/// Longest value, bytes.
const TEXT_MAX: usize = 600;
/// Members of a structure that are shown.
const MEMBERS_MAX: usize = 16;
/// Elements of an array that are shown.
const ELEMENTS_MAX: u64 = 16;
/// Structures in structures.
const DEPTH_MAX: usize = 4;

/// The value at a place.
pub(super) fn render<'s, 'a>(
    scene: &Scene<'s, '_, 'a>,
    kind: Option<Entry<'s, 'a>>,
    place: &Place,
) -> String {
    let mut writer = Writer {
        scene,
        place: place.clone(),
        text: String::new(),
    };
    writer.value(kind, 0, 0);
    if writer.text.len() > TEXT_MAX {
        let end = writer.text.floor_char_boundary(TEXT_MAX);
        writer.text.truncate(end);
        writer.text.push('…');
    }
    writer.text
}

/// A value being written.
pub(super) struct Writer<'w, 's, 'p, 'a> {
    pub(super) scene: &'w Scene<'s, 'p, 'a>,
    /// Where the variable is.
    pub(super) place: Place,
    pub(super) text: String,
}

impl<'s, 'a> Writer<'_, 's, '_, 'a> {
    fn value(&mut self, kind: Option<Entry<'s, 'a>>, offset: u64, depth: usize) {
        let plain = kind.and_then(types::plain);
        let Some((kind, tag)) = plain.filter(|_| depth <= DEPTH_MAX) else {
            self.text.push('…');
            return;
        };
        match tag {
            gimli::DW_TAG_base_type | gimli::DW_TAG_unspecified_type => self.scalar(kind, offset),
            gimli::DW_TAG_enumeration_type => self.enumerator(kind, offset),
            gimli::DW_TAG_array_type => self.array(kind, offset, depth),
            tag if types::is_pointer(tag) => self.pointer(kind, offset, depth),
            tag if types::is_structure(tag) => self.structure(kind, offset, depth),
            _ => self.missing(Missing::Unknown),
        }
    }

    pub(super) fn missing(&mut self, missing: Missing) {
        self.text.push_str(missing.text());
    }

    fn is_full(&self) -> bool {
        self.text.len() > TEXT_MAX
    }

    pub(super) fn bytes(&self, kind: Entry<'s, 'a>, offset: u64) -> Result<Vec<u8>, Missing> {
        let size = types::size(kind).ok_or(Missing::Unknown)?;
        self.scene.bytes(&self.place, offset, size)
    }

    fn scalar(&mut self, kind: Entry<'s, 'a>, offset: u64) {
        let encoding = kind
            .read()
            .and_then(|read| read.attr_value(gimli::DW_AT_encoding));
        let encoding = match encoding {
            Some(AttributeValue::Encoding(encoding)) => encoding,
            _ => gimli::DW_ATE_unsigned,
        };
        match self.bytes(kind, offset) {
            Ok(bytes) => self.text.push_str(&number(encoding, &bytes)),
            Err(missing) => self.missing(missing),
        }
    }

    fn enumerator(&mut self, kind: Entry<'s, 'a>, offset: u64) {
        let bytes = match self.bytes(kind, offset) {
            Ok(bytes) => bytes,
            Err(missing) => return self.missing(missing),
        };
        let (value, signed) = (unsigned(&bytes), signed(&bytes));
        let is_it = |entry: &Entry<'_, '_>| {
            let read = entry.read();
            let constant = read.and_then(|read| read.attr_value(gimli::DW_AT_const_value));
            let same = |constant: AttributeValue<_>| {
                constant.sdata_value().map(i128::from) == Some(signed)
                    || constant.udata_value().map(u128::from) == Some(value)
            };
            constant.is_some_and(same)
        };
        let named = kind.children().into_iter().find(is_it);
        let name = named.and_then(|entry| entry.text(gimli::DW_AT_name));
        self.text
            .push_str(&name.unwrap_or_else(|| signed.to_string()));
    }

    fn pointer(&mut self, kind: Entry<'s, 'a>, offset: u64, depth: usize) {
        let address = match self.bytes(kind, offset) {
            Ok(bytes) => u64::try_from(unsigned(&bytes)).unwrap_or_default(),
            Err(missing) => return self.missing(missing),
        };
        let _ = write!(self.text, "{address:#x}");
        let target = kind.follow(gimli::DW_AT_type);
        let Some((target, tag)) = target.and_then(types::plain).filter(|_| address != 0) else {
            return;
        };
        if is_character(target) {
            self.string(&Place::Memory(address), None);
        } else if tag == gimli::DW_TAG_subroutine_type {
            if let Some(name) = self.scene.symbols.function_at(address) {
                let _ = write!(self.text, " <{name}>");
            }
        } else if types::is_structure(tag) && depth == 0 {
            self.pointed_to(target, address);
        }
    }

    /// What a variable itself points to is often what one wants to know.
    fn pointed_to(&mut self, target: Entry<'s, 'a>, address: u64) {
        let there = Place::Memory(address);
        if self
            .scene
            .bytes(&there, 0, types::size(target).unwrap_or(1))
            .is_err()
        {
            self.text.push_str(" -> ");
            return self.missing(Missing::Absent);
        }
        let own = std::mem::replace(&mut self.place, there);
        self.text.push_str(" -> ");
        self.structure(target, 0, 1);
        self.place = own;
    }

    fn array(&mut self, kind: Entry<'s, 'a>, offset: u64, depth: usize) {
        let element = kind.follow(gimli::DW_AT_type);
        let counts: Option<Vec<u64>> = types::dimensions(kind).into_iter().collect();
        let count = counts.and_then(|counts| counts.into_iter().try_fold(1, u64::checked_mul));
        let size = element.and_then(types::size);
        let (Some(element), Some(count), Some(size)) = (element, count, size) else {
            return self.missing(Missing::Unknown);
        };
        if let (true, Place::Memory(address)) = (is_character(element), &self.place) {
            let (place, room) = (
                Place::Memory(address.wrapping_add(offset)),
                count.min(STRING_MAX),
            );
            let bytes = self.scene.bytes(&place, 0, room).unwrap_or_default();
            let end = bytes
                .iter()
                .position(|&byte| byte == 0)
                .unwrap_or(bytes.len());
            self.string(&place, Some(end as u64));
            self.text = self.text.trim_start().to_owned();
            return;
        }
        self.text.push('{');
        for index in 0..count {
            if index > 0 {
                self.text.push_str(", ");
            }
            if index >= ELEMENTS_MAX || self.is_full() {
                self.text.push('…');
                break;
            }
            self.value(
                Some(element),
                offset.wrapping_add(index.wrapping_mul(size)),
                depth + 1,
            );
        }
        self.text.push('}');
    }

    fn structure(&mut self, kind: Entry<'s, 'a>, offset: u64, depth: usize) {
        if self.well_known_text(kind, offset) {
            return;
        }
        let children = kind.children();
        let is_part = |child: &&Entry<'_, '_>| child.tag() == Some(gimli::DW_TAG_variant_part);
        if let Some(part) = children.iter().find(is_part) {
            return self.variant(*part, offset, depth);
        }
        self.text.push('{');
        self.members(&children, offset, depth);
        self.text.push('}');
    }

    fn members(&mut self, members: &[Entry<'s, 'a>], offset: u64, depth: usize) {
        let mut shown = 0;
        for &member in members {
            let Some(read) = member.read() else { continue };
            let label = match read.tag() {
                gimli::DW_TAG_member if !read.has_attr(gimli::DW_AT_declaration) => {
                    member.text(gimli::DW_AT_name)
                }
                gimli::DW_TAG_inheritance => member
                    .follow(gimli::DW_AT_type)
                    .map(|base| format!("<{}>", types::name(base))),
                _ => continue,
            };
            if shown > 0 {
                self.text.push_str(", ");
            }
            shown += 1;
            if shown > MEMBERS_MAX || self.is_full() {
                self.text.push('…');
                break;
            }
            if let Some(label) = label.filter(|label| !is_numbered(label)) {
                self.text.push_str(&label);
                self.text.push_str(" = ");
            }
            let at = offset.wrapping_add(
                member
                    .number(gimli::DW_AT_data_member_location)
                    .unwrap_or(0),
            );
            match read
                .attr_value(gimli::DW_AT_bit_size)
                .and_then(|bits| bits.udata_value())
            {
                Some(bits) => self.bit_field(member, offset, bits),
                None => self.value(member.follow(gimli::DW_AT_type), at, depth + 1),
            }
        }
    }

    /// The variant of a Rust enumeration that its discriminant names.
    fn variant(&mut self, part: Entry<'s, 'a>, offset: u64, depth: usize) {
        let discriminant = part.follow(gimli::DW_AT_discr).and_then(|member| {
            let at = member
                .number(gimli::DW_AT_data_member_location)
                .unwrap_or(0);
            let kind = member.follow(gimli::DW_AT_type)?;
            self.bytes(kind, offset.wrapping_add(at)).ok()
        });
        let value = discriminant.map(|bytes| (unsigned(&bytes), signed(&bytes)));
        let variants = part.children();
        let names_value = |variant: &&Entry<'_, '_>| {
            let read = variant.read();
            let constant = read.and_then(|read| read.attr_value(gimli::DW_AT_discr_value));
            let same = |constant: AttributeValue<_>| {
                value.is_some_and(|(unsigned, signed)| {
                    constant.udata_value().map(u128::from) == Some(unsigned)
                        || constant.sdata_value().map(i128::from) == Some(signed)
                })
            };
            constant.is_some_and(same)
        };
        let is_default = |variant: &&Entry<'_, '_>| {
            variant.tag() == Some(gimli::DW_TAG_variant)
                && variant
                    .read()
                    .is_some_and(|read| !read.has_attr(gimli::DW_AT_discr_value))
        };
        let variant = variants
            .iter()
            .find(names_value)
            .or_else(|| variants.iter().find(is_default));
        let chosen = variant.and_then(|variant| variant.children().into_iter().next());
        match chosen {
            Some(chosen) => self.chosen(chosen, offset, depth),
            None => self.missing(Missing::Unknown),
        }
    }

    /// A variant by its name, with what it holds: `None`, `Some(5)`, `Circle{radius = 2}`.
    fn chosen(&mut self, member: Entry<'s, 'a>, offset: u64, depth: usize) {
        let name = member.text(gimli::DW_AT_name).unwrap_or_default();
        self.text.push_str(&name);
        let held = member.follow(gimli::DW_AT_type).map(Entry::children);
        let mut held = held.unwrap_or_default();
        held.retain(|child| child.tag() == Some(gimli::DW_TAG_member));
        let Some(first) = held.first().filter(|_| depth < DEPTH_MAX) else {
            return;
        };
        let is_tuple = first
            .text(gimli::DW_AT_name)
            .is_some_and(|name| is_numbered(&name));
        let (open, close) = if is_tuple { ('(', ')') } else { ('{', '}') };
        let at = member.number(gimli::DW_AT_data_member_location);
        self.text.push(open);
        self.members(&held, offset.wrapping_add(at.unwrap_or(0)), depth + 1);
        self.text.push(close);
    }

    fn bit_field(&mut self, member: Entry<'s, 'a>, offset: u64, bits: u64) {
        let start = member.number(gimli::DW_AT_data_bit_offset);
        let (Some(start), true) = (start, bits <= 64) else {
            return self.missing(Missing::Unknown);
        };
        let bytes = self.scene.bytes(
            &self.place,
            offset.wrapping_add(start / 8),
            (start % 8 + bits).div_ceil(8),
        );
        match bytes {
            Ok(bytes) => {
                let value = unsigned(&bytes) >> (start % 8) & ((1 << bits) - 1);
                let _ = write!(self.text, "{value}");
            }
            Err(missing) => self.missing(missing),
        }
    }
}

/// Rust numbers the members of tuples: `__0`.
fn is_numbered(name: &str) -> bool {
    name.strip_prefix("__")
        .is_some_and(|number| number.starts_with(|first: char| first.is_ascii_digit()))
}

//! Reads the calls that a function makes, for frames that tail calls left out.

use super::entry::Entry;
use gimli::{AttributeValue, EndianSlice, Expression, LittleEndian};
use serde::{Deserialize, Serialize};

type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// Calls read of one function.
const CALLS_MAX: usize = 4096;

/// A function with its calls, in the file's own addresses.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// Where the function begins.
    pub entry: u64,
    /// Its calls.
    pub sites: Vec<CallSite>,
}

/// One call (`DW_TAG_call_site`).
#[derive(Clone, Debug)]
pub struct CallSite {
    /// The address after the call instruction.
    pub after: u64,
    /// Whether it is a jump that leaves no frame.
    pub is_tail: bool,
    /// What is called.
    pub target: Target,
}

/// A jump to another function that leaves no frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jump {
    /// The address after the instruction.
    pub after: u64,
    /// Where it leads.
    pub target: Target,
}

/// What a call calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// A function of this file, by its first address.
    Address(u64),
    /// A function known by its linker's name.
    Name(String),
}

impl Calls {
    /// What the call before an address calls.
    pub(super) fn callee(&self, after: u64) -> Option<&Target> {
        let site = self.sites.iter().find(|site| site.after == after);
        site.map(|site| &site.target)
    }

    /// The jumps to other functions.
    pub(super) fn jumps(&self) -> Vec<Jump> {
        let jumps = self.sites.iter().filter(|site| site.is_tail);
        let jump = |site: &CallSite| Jump {
            after: site.after,
            target: site.target.clone(),
        };
        jumps.map(jump).collect()
    }
}

/// The calls of a function.
pub(super) fn calls(function: Entry<'_, '_>) -> Option<Calls> {
    Some(Calls {
        entry: entry_address(function)?,
        sites: sites(function)?.into_iter().filter_map(site).collect(),
    })
}

/// The call of a function that returns to an address.
pub(super) fn call<'u, 'a>(function: Entry<'u, 'a>, return_address: u64) -> Option<Entry<'u, 'a>> {
    let mut sites = sites(function)?.into_iter();
    sites.find(|call| returns_to(*call) == Some(return_address))
}

/// What a call passed in a register, which is given as the operation that names it: the
/// description of the value in the caller's terms.
pub(super) fn passed<'u, 'a>(
    call: Entry<'u, 'a>,
    register: u8,
) -> Option<(Entry<'u, 'a>, Expression<Reader<'a>>)> {
    call.children().into_iter().find_map(|parameter| {
        let read = parameter.read()?;
        let place = read.attr_value(gimli::DW_AT_location)?.exprloc_value()?;
        let value = read
            .attr_value(gimli::DW_AT_call_value)
            .or_else(|| read.attr_value(gimli::DW_AT_GNU_call_site_value))?
            .exprloc_value()?;
        (place.0.slice() == [register]).then_some((parameter, value))
    })
}

/// What a call calls; `None` for one through a pointer.
pub(super) fn callee(call: Entry<'_, '_>) -> Option<Target> {
    let entry = call.read()?;
    let origin = entry
        .attr_value(gimli::DW_AT_call_origin)
        .or_else(|| entry.attr_value(gimli::DW_AT_abstract_origin))?;
    target(call.to(origin)?)
}

/// The pointer that a call goes through.
pub(super) fn pointer<'a>(call: Entry<'_, 'a>) -> Option<Expression<Reader<'a>>> {
    let entry = call.read()?;
    let target = entry
        .attr_value(gimli::DW_AT_call_target)
        .or_else(|| entry.attr_value(gimli::DW_AT_GNU_call_site_target));
    target?.exprloc_value()
}

fn sites<'u, 'a>(function: Entry<'u, 'a>) -> Option<Vec<Entry<'u, 'a>>> {
    let mut entries = function.unit.entries_raw(Some(function.offset)).ok()?;
    let depth = entries.next_depth();
    let abbreviation = entries.read_abbreviation().ok()??;
    entries.skip_attributes(abbreviation.attributes()).ok()?;
    let mut sites = Vec::new();
    while !entries.is_empty() && entries.next_depth() > depth && sites.len() < CALLS_MAX {
        let offset = entries.next_offset();
        let Some(abbreviation) = entries.read_abbreviation().ok()? else {
            continue;
        };
        entries.skip_attributes(abbreviation.attributes()).ok()?;
        if matches!(
            abbreviation.tag(),
            gimli::DW_TAG_call_site | gimli::DW_TAG_GNU_call_site
        ) {
            sites.push(function.at(offset));
        }
    }
    Some(sites)
}

/// The address after a call.
fn returns_to(call: Entry<'_, '_>) -> Option<u64> {
    let entry = call.read()?;
    let after = entry
        .attr_value(gimli::DW_AT_call_return_pc)
        .or_else(|| entry.attr_value(gimli::DW_AT_low_pc))?;
    call.unit.attr_address(after).ok()?
}

fn site(call: Entry<'_, '_>) -> Option<CallSite> {
    let entry = call.read()?;
    let tail = entry
        .attr_value(gimli::DW_AT_call_tail_call)
        .or_else(|| entry.attr_value(gimli::DW_AT_GNU_tail_call));
    Some(CallSite {
        after: returns_to(call)?,
        is_tail: matches!(tail, Some(AttributeValue::Flag(true))),
        target: callee(call)?,
    })
}

/// The callee: defined in this file, or known by name.
fn target(callee: Entry<'_, '_>) -> Option<Target> {
    if let Some(address) = callee.origins().find_map(entry_address) {
        return Some(Target::Address(address));
    }
    let name = |entry: Entry<'_, '_>| {
        let linkage = entry.text(gimli::DW_AT_linkage_name);
        linkage.or_else(|| entry.text(gimli::DW_AT_name))
    };
    callee.origins().find_map(name).map(Target::Name)
}

/// The first address of a function: where its first range starts.
pub(super) fn entry_address(function: Entry<'_, '_>) -> Option<u64> {
    let entry = function.read()?;
    if let Some(low) = entry.attr_value(gimli::DW_AT_low_pc) {
        return function.unit.attr_address(low).ok()?;
    }
    let mut ranges = function.unit.die_ranges(&entry).ok()?;
    Some(ranges.next().ok()??.begin)
}

//! Reads the dynamic linker's list of what it loaded (`struct r_debug` and `struct link_map` of
//! `<link.h>`) from the memory of the dead process.
//!
//! The list may be cut, overwritten, or lead in a circle: what can be read of it is used.

use crate::dump::Core;
use crate::dump::elf::{PT_DYNAMIC, ProgramHeader};

const DT_NULL: u64 = 0;
const DT_DEBUG: u64 = 21;
/// No dynamic section has more entries.
const DYNAMIC_MAX: u64 = 512;
/// No process loads more libraries.
const LIBRARIES_MAX: usize = 8192;
/// The longest path that Linux takes.
const PATH_MAX: usize = 4096;

/// A loaded library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loaded {
    /// What was added to the file's own addresses.
    pub(super) bias: u64,
    /// Path as the process saw it; `None` when the core does not hold it.
    pub(super) path: Option<String>,
    /// Address of its dynamic section.
    pub(super) dynamic: u64,
}

/// The libraries in the list, whose head the dynamic linker leaves in the program's own dynamic
/// section. The program itself has no path in the list and is left out.
pub(super) fn read(core: &Core, program: &[ProgramHeader], bias: u64) -> Vec<Loaded> {
    let dynamic = program.iter().find(|header| header.kind == PT_DYNAMIC);
    let head = dynamic.and_then(|header| first(core, header, bias));
    let mut libraries = Vec::new();
    let mut next = head.unwrap_or(0);
    let mut steps = 0;
    while next != 0 && steps < LIBRARIES_MAX {
        steps += 1;
        let Some([bias, name, dynamic, following]) = words(core, next) else {
            break;
        };
        let path = text(core, name);
        if path.as_deref() != Some("") {
            libraries.push(Loaded {
                bias,
                path,
                dynamic,
            });
        }
        next = following;
    }
    libraries
}

/// Address of the first `struct link_map`.
fn first(core: &Core, dynamic: &ProgramHeader, bias: u64) -> Option<u64> {
    let word = core.arch.word as u64;
    let section = bias.wrapping_add(dynamic.address);
    let entries = (dynamic.memory_size / (2 * word)).min(DYNAMIC_MAX);
    for index in 0..entries {
        let at = section.checked_add(index * 2 * word)?;
        match word_at(core, at)? {
            DT_NULL => return None,
            // struct r_debug: version, padded to a word, then the first entry.
            DT_DEBUG => {
                let debug = word_at(core, at.checked_add(word)?)?;
                return word_at(core, debug.checked_add(word)?);
            }
            _ => {}
        }
    }
    None
}

fn words<const COUNT: usize>(core: &Core, at: u64) -> Option<[u64; COUNT]> {
    let mut words = [0; COUNT];
    let mut at = at;
    for word in &mut words {
        *word = word_at(core, at)?;
        at = at.checked_add(core.arch.word as u64)?;
    }
    Some(words)
}

fn word_at(core: &Core, address: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    core.read(address, bytes.get_mut(..core.arch.word)?)
        .then(|| u64::from_le_bytes(bytes))
}

/// A string that ends with a zero byte, all of which the core holds.
pub(super) fn text(core: &Core, address: u64) -> Option<String> {
    let mut bytes = Vec::new();
    let mut at = address;
    while bytes.len() < PATH_MAX {
        let mut byte = [0];
        if !core.read(at, &mut byte) {
            return None;
        }
        if byte == [0] {
            return Some(String::from_utf8_lossy(&bytes).into_owned());
        }
        bytes.push(byte[0]);
        at = at.checked_add(1)?;
    }
    None
}

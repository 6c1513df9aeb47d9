//! Reads memory around what an instruction worked on; what is absent stays absent.

use super::instruction::Instruction;
use crate::report::{Address, MemoryRange, RegisterUse};
use crate::scene::Scene;
use std::fmt::Write;

/// Bytes shown before the line that holds the address, and in all: whole lines of 16.
const BEFORE: u64 = 32;
const LENGTH: u64 = 112;
const LINE: u64 = 16;
/// Pieces of memory shown.
const MOST: usize = 4;

/// Memory around the operands and where the registers point.
pub(super) fn shown(
    scene: &dyn Scene,
    instruction: &Instruction,
    registers: &[RegisterUse],
) -> Vec<MemoryRange> {
    let operands = instruction
        .operands
        .iter()
        .map(|operand| (format!("operand, {}", operand.access), operand.address));
    let pointers = registers
        .iter()
        .filter(|register| register.points_to.is_some())
        .map(|register| (register.name.clone(), register.value.0));
    let mut ranges: Vec<MemoryRange> = Vec::new();
    for (what, address) in operands.chain(pointers) {
        let covered = ranges
            .iter()
            .any(|range| address.wrapping_sub(range.start.0) < LENGTH);
        if !covered && ranges.len() < MOST {
            ranges.push(range(scene, what, address));
        }
    }
    ranges
}

fn range(scene: &dyn Scene, what: String, address: u64) -> MemoryRange {
    let line = address & !LINE.wrapping_sub(1);
    let start = line.saturating_sub(BEFORE);
    let bytes: Vec<Option<u8>> = (0..LENGTH)
        .map(|offset| byte(scene, start.checked_add(offset)?))
        .collect();
    let known = bytes.iter().any(Option::is_some);
    let absent = match scene.mapping_at(address) {
        _ if known => None,
        Some(_) => Some("mapped, but not in the core"),
        None => Some("not mapped, or not in the core"),
    };
    MemoryRange {
        what,
        address: Address(address),
        start: Address(start),
        bytes: if known { text(&bytes) } else { String::new() },
        absent: absent.map(str::to_owned),
    }
}

fn byte(scene: &dyn Scene, address: u64) -> Option<u8> {
    let mut byte = [0];
    scene.read(address, &mut byte).then_some(byte[0])
}

fn text(bytes: &[Option<u8>]) -> String {
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        let space = if at == 0 { "" } else { " " };
        // Writing to a String cannot fail.
        let _ = match byte {
            Some(byte) => write!(text, "{space}{byte:02x}"),
            None => write!(text, "{space}??"),
        };
    }
    text
}

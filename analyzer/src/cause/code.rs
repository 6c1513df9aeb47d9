//! Disassembles around an instruction.

use super::instruction::{bits, formatter, hexadecimal};
use crate::report::{Address, CodeLine};
use crate::scene::{Function, Scene};
use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, OpKind};

/// Instructions shown before and after the marked one.
const BEFORE: usize = 8;
const AFTER: usize = 5;
/// A longer function is not read from its beginning, bytes.
const LONGEST_FUNCTION: u64 = 256 << 10;
/// The longest instruction, bytes.
const LONGEST: usize = 15;

/// The instructions around the one at `pc`, which is marked.
pub(super) fn around(scene: &dyn Scene, pc: u64, function: Option<&Function>) -> Vec<CodeLine> {
    let start = function.map(|function| function.start);
    let Some(bits) = bits(scene) else {
        return Vec::new();
    };
    let mut lines = start
        .and_then(|start| before(scene, bits, start, pc))
        .unwrap_or_default();
    let end = function
        .filter(|function| function.size > 0)
        .and_then(|function| function.start.checked_add(function.size));
    lines.extend(from(scene, bits, pc, end));
    let line = |instruction: &(Instruction, Vec<u8>)| line(scene, instruction, pc, start);
    lines.iter().map(line).collect()
}

/// The last instructions of those from the function's beginning, if one ends exactly at `pc`.
fn before(
    scene: &dyn Scene,
    bits: u32,
    start: u64,
    pc: u64,
) -> Option<Vec<(Instruction, Vec<u8>)>> {
    let length = pc
        .checked_sub(start)
        .filter(|length| *length <= LONGEST_FUNCTION)?;
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    scene.read(start, &mut bytes).then_some(())?;
    let all = decoded(bits, &bytes, start);
    if all.last().is_some_and(|(last, _)| last.is_invalid()) {
        return None;
    }
    let first = all.len().saturating_sub(BEFORE);
    Some(all.into_iter().skip(first).collect())
}

fn from(scene: &dyn Scene, bits: u32, pc: u64, end: Option<u64>) -> Vec<(Instruction, Vec<u8>)> {
    let most = LONGEST.saturating_mul(AFTER.saturating_add(1));
    let wanted = end
        .and_then(|end| usize::try_from(end.checked_sub(pc)?).ok())
        .map_or(most, |left| left.min(most));
    // What follows may lie on a page that is absent.
    let bytes = (1..=wanted).rev().find_map(|length| {
        let mut bytes = vec![0; length];
        scene.read(pc, &mut bytes).then_some(bytes)
    });
    let mut all = decoded(bits, &bytes.unwrap_or_default(), pc);
    all.truncate(AFTER.saturating_add(1));
    // A last one that is cut is none.
    if all.len() > 1 && all.last().is_some_and(|(last, _)| last.is_invalid()) {
        all.pop();
    }
    all
}

fn decoded(bits: u32, bytes: &[u8], start: u64) -> Vec<(Instruction, Vec<u8>)> {
    let with_bytes = |instruction: Instruction| {
        let at = usize::try_from(instruction.ip().wrapping_sub(start)).unwrap_or(usize::MAX);
        let piece = bytes
            .get(at..)
            .and_then(|rest| rest.get(..instruction.len().max(1)));
        (instruction, piece.unwrap_or_default().to_vec())
    };
    Decoder::with_ip(bits, bytes, start, DecoderOptions::NONE)
        .into_iter()
        .map(with_bytes)
        .collect()
}

fn line(
    scene: &dyn Scene,
    (instruction, bytes): &(Instruction, Vec<u8>),
    marked: u64,
    start: Option<u64>,
) -> CodeLine {
    let mut text = String::new();
    if instruction.is_invalid() {
        text.push_str("(bad)");
    } else {
        formatter().format(instruction, &mut text);
    }
    CodeLine {
        pc: Address(instruction.ip()),
        offset: start.map(|start| instruction.ip().wrapping_sub(start)),
        bytes: hexadecimal(bytes),
        text,
        target: target(scene, instruction),
        marked: instruction.ip() == marked,
    }
}

fn target(scene: &dyn Scene, instruction: &Instruction) -> Option<String> {
    let branches = [OpKind::NearBranch64, OpKind::NearBranch32].contains(&instruction.op0_kind());
    if instruction.op_count() == 0 || !branches {
        return None;
    }
    let address = instruction.near_branch_target();
    // A symbol without a size may be anything before it.
    let function = scene
        .function(address)
        .filter(|function| function.size > 0)?;
    Some(match address.wrapping_sub(function.start) {
        0 => function.name,
        offset => format!("{}+{offset:#x}", function.name),
    })
}

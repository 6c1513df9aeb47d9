//! Reads off instructions what a function was handed, and what one would return.
//!
//! The registers are long overwritten, but texts and line numbers are constants, which compilers
//! put into their registers right before the call: `lea rdi, [rip+0x2ee3]`, `mov edx, 8`.

use super::instruction::{bits, full_name};
use crate::scene::Scene;
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};
use std::collections::BTreeMap;

/// How far before its call a constant is looked for, bytes.
const REACH: u64 = 128;

/// The constants in registers at a call, by the report names of the whole registers.
pub(super) struct Handed(BTreeMap<String, u64>);

impl Handed {
    /// At the call that returns to an address.
    pub(super) fn before(scene: &dyn Scene, return_address: u64) -> Option<Self> {
        if scene.arch() != "x86_64" {
            return None;
        }
        let mut known = BTreeMap::new();
        for instruction in run_up(scene, return_address)? {
            follow(&instruction, &mut known);
        }
        Some(Handed(known))
    }

    /// The constant in a register.
    pub(super) fn get(&self, register: &str) -> Option<u64> {
        self.0.get(register).copied()
    }
}

/// The instructions that end with a call before an address. Where an instruction begins is not
/// known backwards, so the longest run is taken that ends exactly there.
pub(super) fn run_up(scene: &dyn Scene, end: u64) -> Option<Vec<Instruction>> {
    let bits = bits(scene)?;
    (8..=REACH).rev().find_map(|length| {
        let start = end.checked_sub(length)?;
        let mut code = vec![0; usize::try_from(length).ok()?];
        if !scene.read(start, &mut code) {
            return None;
        }
        let run: Vec<_> = Decoder::with_ip(bits, &code, start, DecoderOptions::NONE)
            .into_iter()
            .collect();
        let last = run.last()?;
        let whole = last.next_ip() == end && !run.iter().any(Instruction::is_invalid);
        (whole && is_call(last)).then_some(run)
    })
}

fn is_call(instruction: &Instruction) -> bool {
    matches!(
        instruction.flow_control(),
        FlowControl::Call | FlowControl::IndirectCall
    )
}

/// What is known after an instruction. One that other code may jump behind forgets nothing: a
/// block that hands constants over sets them all.
fn follow(instruction: &Instruction, known: &mut BTreeMap<String, u64>) {
    if instruction.op_count() == 0 || instruction.op0_kind() != OpKind::Register {
        return;
    }
    let target = full_name(instruction.op0_register());
    let value = match instruction.mnemonic() {
        Mnemonic::Lea if instruction.memory_base() == Register::RIP => {
            Some(instruction.memory_displacement64())
        }
        Mnemonic::Mov => match instruction.op1_kind() {
            OpKind::Immediate32 | OpKind::Immediate64 | OpKind::Immediate32to64 => {
                Some(instruction.immediate(1))
            }
            OpKind::Register => known.get(&full_name(instruction.op1_register())).copied(),
            _ => None,
        },
        Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Push => return,
        _ => None,
    };
    match value {
        Some(value) => known.insert(target, value),
        None => known.remove(&target),
    };
}

/// Instructions of a function that [`returned`] follows.
const SHORT: usize = 12;

/// What a function would return that does no more than return a constant, or a word of the object
/// it is called on; `None` for one that does more.
pub(crate) fn returned(scene: &dyn Scene, function: u64, object: u64) -> Option<u64> {
    if scene.arch() != "x86_64" {
        return None;
    }
    let mut code = [0; 64];
    scene.read(function, &mut code).then_some(())?;
    let mut known = BTreeMap::from([("rdi".to_owned(), object)]);
    for instruction in Decoder::with_ip(64, &code, function, DecoderOptions::NONE)
        .into_iter()
        .take(SHORT)
    {
        match instruction.flow_control() {
            FlowControl::Return => return known.get("rax").copied(),
            FlowControl::Next => {}
            _ => return None,
        }
        if let Some(value) = member(scene, &instruction, &known) {
            known.insert(full_name(instruction.op0_register()), value);
        } else {
            follow(&instruction, &mut known);
        }
    }
    None
}

/// `mov rax, [rdi+8]`.
fn member(
    scene: &dyn Scene,
    instruction: &Instruction,
    known: &BTreeMap<String, u64>,
) -> Option<u64> {
    let loads = instruction.mnemonic() == Mnemonic::Mov
        && instruction.op0_kind() == OpKind::Register
        && instruction.op0_register().size() == 8
        && instruction.op1_kind() == OpKind::Memory
        && instruction.memory_index() == Register::None;
    let base = known.get(&full_name(instruction.memory_base()))?;
    loads.then(|| scene.read_u64(base.wrapping_add(instruction.memory_displacement64())))?
}

//! Decodes the instruction the process died at, and where its operands lie.

use crate::scene::Scene;
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Formatter, InstructionInfoFactory, IntelFormatter,
    Mnemonic, OpAccess, OpKind, Register, UsedMemory,
};
use std::fmt::Write;

/// The longest instruction of the architecture, bytes.
const LONGEST: usize = 15;

/// The decoded instruction. Only x86-64 is decoded.
pub(super) struct Instruction {
    /// Intel syntax.
    pub(super) text: String,
    bytes: Vec<u8>,
    decoded: iced_x86::Instruction,
    /// What it accesses in memory.
    pub(super) operands: Vec<Operand>,
}

/// A memory operand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operand {
    /// Effective address.
    pub(super) address: u64,
    /// Bytes accessed.
    pub(super) size: u64,
    /// `read` or `write`; a read-modify-write faults as a write.
    pub(super) access: &'static str,
    /// The registers that make up the address, with their values: `rdi = 0x0`.
    pub(super) made_of: Vec<String>,
}

impl Instruction {
    /// The instruction at the crashed thread's program counter.
    pub(super) fn at_crash(scene: &dyn Scene) -> Option<Self> {
        Self::at(scene, scene.register("rip")?)
    }

    /// `int3`, which the program counter has passed when its trap comes.
    pub(super) fn passed_breakpoint(scene: &dyn Scene) -> Option<Self> {
        let before = scene.register("rip")?.checked_sub(1)?;
        Self::at(scene, before).filter(|found| found.decoded.mnemonic() == Mnemonic::Int3)
    }

    fn at(scene: &dyn Scene, pc: u64) -> Option<Self> {
        if scene.arch() != "x86_64" {
            return None;
        }
        let bytes = code_at(scene, pc)?;
        let decoded = Decoder::with_ip(64, &bytes, pc, DecoderOptions::NONE).decode();
        let mut text = String::new();
        if decoded.is_invalid() {
            text.push_str("(bad)");
        } else {
            formatter().format(&decoded, &mut text);
        }
        let mut factory = InstructionInfoFactory::new();
        let used = factory.info(&decoded).used_memory();
        let operands = used
            .iter()
            .filter_map(|memory| operand(scene, memory))
            .collect();
        let length = if decoded.is_invalid() {
            bytes.len()
        } else {
            decoded.len()
        };
        Some(Self {
            text,
            bytes: bytes.get(..length)?.to_vec(),
            decoded,
            operands,
        })
    }

    /// `ud2` and its kin, which compilers place.
    pub(super) fn is_trap(&self) -> bool {
        matches!(
            self.decoded.mnemonic(),
            Mnemonic::Ud0 | Mnemonic::Ud1 | Mnemonic::Ud2 | Mnemonic::Int3
        )
    }

    /// The instruction glibc's `abort()` ends with when nothing else ended the process
    /// (sysdeps/x86_64/abort-instr.h).
    pub(super) fn is_halt(&self) -> bool {
        self.decoded.mnemonic() == Mnemonic::Hlt
    }

    /// Whether only the kernel may execute it.
    pub(super) fn is_privileged(&self) -> bool {
        self.decoded.is_privileged()
    }

    /// Whether it is a `ret`.
    pub(super) fn returns(&self) -> bool {
        self.decoded.flow_control() == FlowControl::Return
    }

    /// Where a `call`, `jmp` or `ret` leads, if it takes that from a register or from memory.
    pub(super) fn target(&self, scene: &dyn Scene) -> Option<u64> {
        match self.decoded.flow_control() {
            FlowControl::Return => scene.read_u64(scene.register("rsp")?),
            FlowControl::IndirectCall | FlowControl::IndirectBranch => {
                if self.decoded.op0_kind() == OpKind::Register {
                    return value(scene, self.decoded.op0_register());
                }
                let pointer = |operand: &&Operand| operand.access == "read";
                scene.read_u64(self.operands.iter().find(pointer)?.address)
            }
            _ => None,
        }
    }

    /// Whether it divides an integer by a zero that is known.
    pub(super) fn divides_by_zero(&self, scene: &dyn Scene) -> bool {
        if !matches!(self.decoded.mnemonic(), Mnemonic::Div | Mnemonic::Idiv) {
            return false;
        }
        if let Some(operand) = self.operands.first() {
            let size = usize::try_from(operand.size).unwrap_or(8).min(8);
            let mut bytes = [0; 8];
            return bytes
                .get_mut(..size)
                .is_some_and(|bytes| scene.read(operand.address, bytes))
                && bytes == [0; 8];
        }
        let divisor = self.decoded.op0_register();
        let bits = u32::try_from(divisor.size()).unwrap_or(8).saturating_mul(8);
        value(scene, divisor).is_some_and(|value| match bits {
            ..64 => value.trailing_zeros() >= bits,
            _ => value == 0,
        })
    }

    /// The bytes in hexadecimal.
    pub(super) fn bytes(&self) -> String {
        self.bytes
            .iter()
            .fold(String::new(), |mut text, byte| {
                // Writing to a String cannot fail.
                let _ = write!(text, "{byte:02x} ");
                text
            })
            .trim_end()
            .to_owned()
    }

    /// The operand an address lies in.
    pub(super) fn operand_at(&self, address: u64) -> Option<&Operand> {
        self.operands
            .iter()
            .find(|operand| address.wrapping_sub(operand.address) < operand.size.max(1))
    }
}

fn code_at(scene: &dyn Scene, pc: u64) -> Option<Vec<u8>> {
    (1..=LONGEST).rev().find_map(|length| {
        let mut bytes = vec![0; length];
        scene.read(pc, &mut bytes).then_some(bytes)
    })
}

fn formatter() -> IntelFormatter {
    let mut formatter = IntelFormatter::new();
    let options = formatter.options_mut();
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    options.set_space_after_operand_separator(true);
    options.set_rip_relative_addresses(true);
    formatter
}

fn operand(scene: &dyn Scene, memory: &UsedMemory) -> Option<Operand> {
    let access = match memory.access() {
        OpAccess::Read | OpAccess::CondRead => "read",
        OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite => {
            "write"
        }
        OpAccess::None | OpAccess::NoMemAccess => return None,
    };
    let address = memory.virtual_address(0, |register, _, _| value(scene, register))?;
    let named = [memory.base(), memory.index()]
        .into_iter()
        .filter(|register| *register != Register::None);
    let made_of = named.filter_map(|register| {
        Some(format!(
            "{} = {:#x}",
            name(register),
            value(scene, register)?
        ))
    });
    Some(Operand {
        address,
        size: u64::try_from(memory.memory_size().size()).unwrap_or(1),
        access,
        made_of: made_of.collect(),
    })
}

fn name(register: Register) -> String {
    format!("{register:?}").to_lowercase()
}

fn value(scene: &dyn Scene, register: Register) -> Option<u64> {
    match register {
        Register::None | Register::CS | Register::DS | Register::ES | Register::SS => Some(0),
        Register::FS => scene.register("fs_base"),
        Register::GS => scene.register("gs_base"),
        _ => {
            let whole = scene.register(&name(register.full_register()))?;
            Some(match register.size() {
                4 => whole & 0xffff_ffff,
                _ => whole,
            })
        }
    }
}

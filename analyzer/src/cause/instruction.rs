//! Decodes the instruction the process died at, and where its operands lie.

use crate::scene::Scene;
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Formatter, InstructionInfoFactory, IntelFormatter,
    Mnemonic, OpAccess, OpKind, Register, UsedMemory,
};
use std::fmt::Write;

/// The longest instruction of the architecture, bytes.
pub(super) const LONGEST: u64 = 15;

/// The decoded instruction. Only those of x86 are decoded.
pub(super) struct Instruction {
    /// Intel syntax.
    pub(super) text: String,
    bytes: Vec<u8>,
    decoded: iced_x86::Instruction,
    /// What it accesses in memory.
    pub(super) operands: Vec<Operand>,
}

/// Why an integer division failed.
pub(super) enum Division {
    /// The divisor is zero: a sentence with its register or address.
    ByZero(String),
    /// The quotient does not fit: dividend and divisor.
    Overflow(String),
}

/// A memory operand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operand {
    /// Effective address.
    pub(super) address: u64,
    /// Value of the base register.
    pub(super) base: Option<u64>,
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
        Self::at(scene, scene.pc()?)
    }

    /// `int3`, which the program counter has passed when its trap comes.
    pub(super) fn passed_breakpoint(scene: &dyn Scene) -> Option<Self> {
        let before = scene.pc()?.checked_sub(1)?;
        Self::at(scene, before).filter(|found| found.decoded.mnemonic() == Mnemonic::Int3)
    }

    /// The instruction at an address, with the operands that the scene's registers give it.
    pub(super) fn at(scene: &dyn Scene, pc: u64) -> Option<Self> {
        let bits = bits(scene)?;
        let bytes = code_at(scene, pc)?;
        let decoded = Decoder::with_ip(bits, &bytes, pc, DecoderOptions::NONE).decode();
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
            FlowControl::Return => scene.read_pointer(scene.sp()?),
            FlowControl::IndirectCall | FlowControl::IndirectBranch => {
                if self.decoded.op0_kind() == OpKind::Register {
                    return value(scene, self.decoded.op0_register());
                }
                let pointer = |operand: &&Operand| operand.access == "read";
                scene.read_pointer(self.operands.iter().find(pointer)?.address)
            }
            _ => None,
        }
    }

    /// Whether the bytes are no instruction.
    pub(super) fn is_invalid(&self) -> bool {
        self.decoded.is_invalid()
    }

    /// Whether it divides an integer by a zero that is known.
    pub(super) fn divides_by_zero(&self, scene: &dyn Scene) -> bool {
        matches!(self.division(scene), Some(Division::ByZero(_)))
    }

    /// What is wrong with the operands of an integer division that failed; `None` for other
    /// instructions and where the divisor is not known.
    pub(super) fn division(&self, scene: &dyn Scene) -> Option<Division> {
        let signed = match self.decoded.mnemonic() {
            Mnemonic::Div => false,
            Mnemonic::Idiv => true,
            _ => return None,
        };
        let (divisor, named, size) = self.divisor(scene)?;
        if divisor == 0 {
            return Some(Division::ByZero(format!(
                "`{}` with {named} = 0.",
                self.text
            )));
        }
        let dividend = dividend(scene, size)?;
        let quotient = if signed {
            let bits = u32::try_from(size.checked_mul(8)?).ok()?;
            let divisor = sign_extended(divisor, bits);
            format!(
                "{} / {divisor}",
                sign_extended_wide(dividend, bits.checked_mul(2)?)
            )
        } else {
            format!("{dividend} / {divisor}")
        };
        Some(Division::Overflow(quotient))
    }

    /// The divisor, what it is called, and how many bytes it has.
    fn divisor(&self, scene: &dyn Scene) -> Option<(u64, String, usize)> {
        if let Some(operand) = self.operands.first() {
            let size = usize::try_from(operand.size)
                .ok()
                .filter(|size| *size <= 8)?;
            let mut bytes = [0; 8];
            scene
                .read(operand.address, bytes.get_mut(..size)?)
                .then_some(())?;
            let named = format!("the divisor at {:#x}", operand.address);
            return Some((u64::from_le_bytes(bytes), named, size));
        }
        let register = self.decoded.op0_register();
        Some((value(scene, register)?, name(register), register.size()))
    }

    /// The bytes in hexadecimal.
    pub(super) fn bytes(&self) -> String {
        hexadecimal(&self.bytes)
    }

    /// The general registers it uses, each with its value, where that is known, and whether it is
    /// an address of memory or code that is gone to.
    pub(super) fn registers(&self, scene: &dyn Scene) -> Vec<(String, u64, bool)> {
        let mut factory = InstructionInfoFactory::new();
        let info = factory.info(&self.decoded);
        let mut addresses: Vec<Register> = info
            .used_memory()
            .iter()
            .flat_map(|memory| [memory.base(), memory.index()])
            .map(Register::full_register)
            .collect();
        let branches = matches!(
            self.decoded.flow_control(),
            FlowControl::IndirectCall | FlowControl::IndirectBranch
        );
        if branches && self.decoded.op0_kind() == OpKind::Register {
            addresses.push(self.decoded.op0_register().full_register());
        }
        let mut known: Vec<(String, u64, bool)> = Vec::new();
        for used in info.used_registers() {
            let register = used.register();
            let written = matches!(used.access(), OpAccess::Write | OpAccess::CondWrite);
            let is_segment = register.is_segment_register() || register.is_ip();
            if written || is_segment || known.iter().any(|(name, ..)| *name == self::name(register))
            {
                continue;
            }
            let is_address = addresses.contains(&register.full_register());
            if let Some(value) = value(scene, register) {
                known.push((self::name(register), value, is_address));
            }
        }
        known
    }

    /// The operand an address lies in.
    pub(super) fn operand_at(&self, address: u64) -> Option<&Operand> {
        self.operands
            .iter()
            .find(|operand| address.wrapping_sub(operand.address) < operand.size.max(1))
    }
}

/// Bytes as `48 8b 07`.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        let space = if at == 0 { "" } else { " " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{space}{byte:02x}");
    }
    text
}

/// How wide the code is that the process runs; `None` where it is not x86.
pub(super) fn bits(scene: &dyn Scene) -> Option<u32> {
    match scene.arch() {
        "x86_64" => Some(64),
        "i386" => Some(32),
        _ => None,
    }
}

fn code_at(scene: &dyn Scene, pc: u64) -> Option<Vec<u8>> {
    (1..=LONGEST).rev().find_map(|length| {
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        scene.read(pc, &mut bytes).then_some(bytes)
    })
}

pub(super) fn formatter() -> IntelFormatter {
    let mut formatter = IntelFormatter::new();
    let options = formatter.options_mut();
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    options.set_space_after_operand_separator(true);
    options.set_rip_relative_addresses(true);
    options.set_branch_leading_zeros(false);
    options.set_show_branch_size(false);
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
    let base = Some(memory.base()).filter(|base| *base != Register::None);
    Some(Operand {
        address,
        base: base.and_then(|base| value(scene, base)),
        size: u64::try_from(memory.memory_size().size()).unwrap_or(1),
        access,
        made_of: made_of.collect(),
    })
}

/// What is divided: the accumulator and its upper half (`rdx:rax`; for bytes `ax`).
fn dividend(scene: &dyn Scene, size: usize) -> Option<u128> {
    let low = u128::from(value(scene, Register::RAX)?);
    let high = u128::from(value(scene, Register::RDX)?);
    Some(match size {
        1 => low & 0xffff,
        2 => (low & 0xffff) | ((high & 0xffff) << 16),
        4 => (low & 0xffff_ffff) | ((high & 0xffff_ffff) << 32),
        _ => low | (high << 64),
    })
}

fn sign_extended(value: u64, bits: u32) -> i64 {
    let shift = 64_u32.saturating_sub(bits);
    value.wrapping_shl(shift).cast_signed().wrapping_shr(shift)
}

fn sign_extended_wide(value: u128, bits: u32) -> i128 {
    let shift = 128_u32.saturating_sub(bits);
    value.wrapping_shl(shift).cast_signed().wrapping_shr(shift)
}

fn name(register: Register) -> String {
    format!("{register:?}").to_lowercase()
}

/// The report's name of the register that a part belongs to: `rax` of `al`.
pub(super) fn full_name(register: Register) -> String {
    name(register.full_register())
}

fn value(scene: &dyn Scene, register: Register) -> Option<u64> {
    match register {
        Register::None | Register::CS | Register::DS | Register::ES | Register::SS => Some(0),
        Register::FS => scene.register("fs_base"),
        Register::GS => scene.register("gs_base"),
        _ => {
            let whole = if bits(scene) == Some(32) {
                scene.register(&name(register.full_register32()))?
            } else {
                scene.register(&full_name(register))?
            };
            Some(match register.size() {
                1 if is_high_byte(register) => (whole >> 8) & 0xff,
                1 => whole & 0xff,
                2 => whole & 0xffff,
                4 => whole & 0xffff_ffff,
                _ => whole,
            })
        }
    }
}

fn is_high_byte(register: Register) -> bool {
    matches!(
        register,
        Register::AH | Register::BH | Register::CH | Register::DH
    )
}

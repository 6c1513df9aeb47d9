//! Finds a caller by following the function's own instructions to its return, for x86 code that
//! nothing describes.
//!
//! What stands between an instruction and its function's `ret` undoes the function's stack frame:
//! it frees locals and restores registers, whatever the frame looks like. So the instructions are
//! followed, for their effect on the stack pointer and the registers alone, along every branch,
//! until one path comes to a return address that follows a call. A path that needs a value which
//! is not known, or comes to data, is left.

use super::{CodeAddress, Space, StackFrame, Step};
use crate::arch::Registers;
use crate::report::Trust;
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpKind,
    Register,
};
use std::collections::HashSet;

/// Instructions followed for one frame, on all paths together.
const INSTRUCTIONS_MAX: usize = 4096;
/// Instructions followed for all frames of a process together.
pub(super) const INSTRUCTIONS_OF_PROCESS: usize = 1 << 21;
/// Branches of one frame that wait to be followed.
const BRANCHES_MAX: usize = 64;
/// Words of the stack that one path writes.
const WRITTEN_MAX: usize = 256;
/// The longest instruction, bytes.
const LONGEST: usize = 15;
/// DWARF numbers of the registers in the order of their encoding: rax rcx rdx rbx rsp rbp rsi rdi
/// r8 …
const DWARF_64: [u16; 16] = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];
const DWARF_32: [u16; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

/// The caller that the function returns to. `None` for other architectures, and when no path
/// comes to a return that can be believed.
pub(super) fn caller_by_code(
    space: &Space<'_>,
    frame: &StackFrame,
    left: &mut usize,
) -> Option<Step> {
    let numbers: &'static [u16] = match space.core.arch.name {
        "x86_64" => &DWARF_64,
        "i386" => &DWARF_32,
        _ => return None,
    };
    let sp = frame.registers.get(space.core.arch.sp)?;
    let start = Path {
        ip: frame.address.pc(),
        registers: frame.registers.clone(),
        written: Vec::new(),
    };
    let mut follower = Follower {
        space,
        numbers,
        visited: HashSet::new(),
        limit: INSTRUCTIONS_MAX.min(*left),
        waiting: vec![start],
        factory: InstructionInfoFactory::new(),
    };
    let found = follower.find_return(sp);
    *left = left.saturating_sub(follower.visited.len());
    let registers = found?;
    let pc = registers.get(space.core.arch.pc)?;
    Some(Step::Caller(StackFrame {
        address: CodeAddress::Return(pc),
        trust: Trust::Code,
        trampoline: false,
        entry: None,
        registers,
    }))
}

/// One way through the function.
#[derive(Clone)]
struct Path {
    ip: u64,
    registers: Registers,
    /// Words that instructions on the way wrote, the latest last; `None` where the value is not
    /// known. Memory itself is as it was when the process died.
    written: Vec<(u64, Option<u64>)>,
}

/// Where an instruction leads.
enum Next {
    /// To the instruction behind it, or elsewhere.
    On(u64),
    /// To either.
    Branch(u64, u64),
    /// Out of the function, to its caller, popping so many bytes behind the return address.
    Return(u64),
    /// Nowhere that can be followed.
    End,
}

struct Follower<'s, 'a> {
    space: &'s Space<'a>,
    numbers: &'static [u16],
    visited: HashSet<u64>,
    limit: usize,
    waiting: Vec<Path>,
    factory: InstructionInfoFactory,
}

impl Follower<'_, '_> {
    /// The caller's registers, by the first path that ends in a return to what follows a call,
    /// with more of the stack freed than when it began.
    fn find_return(&mut self, sp: u64) -> Option<Registers> {
        while let Some(path) = self.waiting.pop() {
            let found = self.follow(path, sp);
            if found.is_some() {
                return found;
            }
        }
        None
    }

    fn follow(&mut self, mut path: Path, sp: u64) -> Option<Registers> {
        while self.visited.len() < self.limit && self.visited.insert(path.ip) {
            let first = self.visited.len() == 1;
            let instruction = self.decode(path.ip)?;
            match self.next(&mut path, &instruction, first) {
                Next::On(ip) => path.ip = ip,
                Next::Branch(ip, other) => {
                    if self.waiting.len() < BRANCHES_MAX {
                        let mut waiting = path.clone();
                        waiting.ip = other;
                        self.waiting.push(waiting);
                    }
                    path.ip = ip;
                }
                Next::Return(popped) => return self.returned(path, popped, sp),
                Next::End => return None,
            }
        }
        None
    }

    fn decode(&self, ip: u64) -> Option<Instruction> {
        let mut code = [0; LONGEST];
        let length = (1..=LONGEST)
            .rev()
            .find(|&length| self.space.read(ip, &mut code[..length]))?;
        let bits = if self.space.core.arch.word == 8 {
            64
        } else {
            32
        };
        let code = code.get(..length)?;
        let decoded = Decoder::with_ip(bits, code, ip, DecoderOptions::NONE).decode();
        (!decoded.is_invalid()).then_some(decoded)
    }

    /// Applies an instruction. The interrupted one is the `first`: what made it fault does not
    /// keep the path from going on behind it.
    fn next(&mut self, path: &mut Path, instruction: &Instruction, first: bool) -> Next {
        let behind = instruction.next_ip();
        match instruction.flow_control() {
            FlowControl::Next | FlowControl::XbeginXabortXend => {
                self.apply(path, instruction);
                Next::On(behind)
            }
            FlowControl::Call | FlowControl::IndirectCall => {
                self.forget_scratch(path);
                Next::On(behind)
            }
            FlowControl::Interrupt => {
                self.forget(path, instruction);
                Next::On(behind)
            }
            FlowControl::ConditionalBranch => {
                Next::Branch(behind, instruction.near_branch_target())
            }
            FlowControl::UnconditionalBranch => Next::On(instruction.near_branch_target()),
            FlowControl::IndirectBranch if is_stub(instruction) => Next::Return(0),
            FlowControl::Return if instruction.op_count() == 1 => {
                Next::Return(instruction.immediate(0))
            }
            FlowControl::Return => Next::Return(0),
            FlowControl::Exception if first => Next::On(behind),
            FlowControl::IndirectBranch | FlowControl::Exception => Next::End,
        }
    }

    fn returned(&self, mut path: Path, popped: u64, sp: u64) -> Option<Registers> {
        let arch = self.space.core.arch;
        let at = path.registers.get(arch.sp).filter(|at| *at >= sp)?;
        let pc = self.word(&path, at)?;
        if !super::is_return_address(self.space, pc) {
            return None;
        }
        let mut registers = Registers::default();
        for &register in arch.callee_saved {
            registers.set(register, path.registers.get(register));
        }
        path.registers = registers;
        let above = at.checked_add(arch.word as u64)?.checked_add(popped)?;
        path.registers.set(arch.sp, Some(above));
        path.registers.set(arch.pc, Some(pc));
        Some(path.registers)
    }

    fn apply(&mut self, path: &mut Path, instruction: &Instruction) {
        let arch = self.space.core.arch;
        let word = arch.word as u64;
        let sp = path.registers.get(arch.sp);
        match instruction.mnemonic() {
            Mnemonic::Push => {
                let value = self.source(path, instruction, 0);
                let below = sp.map(|sp| sp.wrapping_sub(word));
                path.write(below, value);
                path.registers.set(arch.sp, below);
            }
            Mnemonic::Pop => {
                let value = sp.and_then(|sp| self.word(path, sp));
                path.registers
                    .set(arch.sp, sp.map(|sp| sp.wrapping_add(word)));
                self.store(path, instruction, value);
            }
            Mnemonic::Leave => {
                let fp = path.registers.get(arch.fp);
                let saved = fp.and_then(|fp| self.word(path, fp));
                path.registers.set(arch.fp, saved);
                path.registers
                    .set(arch.sp, fp.map(|fp| fp.wrapping_add(word)));
            }
            Mnemonic::Mov => {
                let value = self.source(path, instruction, 1);
                self.store(path, instruction, value);
            }
            Mnemonic::Lea => {
                let value = self.address(path, instruction);
                self.store(path, instruction, value);
            }
            Mnemonic::Add => self.compute(path, instruction, u64::wrapping_add),
            Mnemonic::Sub => self.compute(path, instruction, u64::wrapping_sub),
            Mnemonic::And => self.compute(path, instruction, |left, right| left & right),
            _ => self.forget(path, instruction),
        }
    }

    fn compute(
        &mut self,
        path: &mut Path,
        instruction: &Instruction,
        operation: fn(u64, u64) -> u64,
    ) {
        let operands = self
            .source(path, instruction, 0)
            .zip(self.source(path, instruction, 1));
        let value = operands.map(|(left, right)| operation(left, right));
        self.store(path, instruction, value);
    }

    /// Writes to the first operand.
    fn store(&mut self, path: &mut Path, instruction: &Instruction, value: Option<u64>) {
        match instruction.op_kind(0) {
            OpKind::Register => match self.number(instruction.op_register(0)) {
                Some(register) => path.registers.set(register, value.map(|v| self.cut(v))),
                None => self.forget(path, instruction),
            },
            OpKind::Memory => {
                let address = self.address(path, instruction);
                path.write(address, value.filter(|_| self.is_word(instruction)));
            }
            _ => {}
        }
    }

    /// An operand's value, when it is a whole word.
    fn source(&self, path: &Path, instruction: &Instruction, operand: u32) -> Option<u64> {
        match instruction.op_kind(operand) {
            OpKind::Register => path
                .registers
                .get(self.number(instruction.op_register(operand))?),
            OpKind::Memory if self.is_word(instruction) => {
                self.word(path, self.address(path, instruction)?)
            }
            OpKind::Memory => None,
            _ => instruction.try_immediate(operand).ok().map(|v| self.cut(v)),
        }
    }

    fn address(&self, path: &Path, instruction: &Instruction) -> Option<u64> {
        if instruction.segment_prefix() != Register::None {
            return None;
        }
        let value = |register, _, _| match register {
            // Segments of data and stack begin at zero.
            Register::DS | Register::SS | Register::ES | Register::CS => Some(0),
            _ => path.registers.get(self.number(register)?),
        };
        let operand = (0..instruction.op_count())
            .find(|&operand| instruction.op_kind(operand) == OpKind::Memory)?;
        let address = instruction.virtual_address(operand, 0, value)?;
        Some(self.cut(address))
    }

    fn is_word(&self, instruction: &Instruction) -> bool {
        instruction.memory_size().size() == self.space.core.arch.word
    }

    /// A word of memory as it is on this path.
    fn word(&self, path: &Path, address: u64) -> Option<u64> {
        let word = self.space.core.arch.word as u64;
        let overlaps = |at: u64| at.abs_diff(address) < word;
        match path.written.iter().rev().find(|(at, _)| overlaps(*at)) {
            Some((at, value)) => value.filter(|_| *at == address),
            None => self.space.read_word(address),
        }
    }

    /// Forgets every register that an instruction writes.
    fn forget(&mut self, path: &mut Path, instruction: &Instruction) {
        let info = self.factory.info(instruction);
        let written: Vec<Register> = info
            .used_registers()
            .iter()
            .filter(|used| {
                use iced_x86::OpAccess::{CondWrite, ReadCondWrite, ReadWrite, Write};
                matches!(used.access(), Write | ReadWrite | CondWrite | ReadCondWrite)
            })
            .map(iced_x86::UsedRegister::register)
            .collect();
        for register in written {
            if let Some(number) = self.number(register.full_register()) {
                path.registers.set(number, None);
            }
        }
    }

    /// What a called function need not preserve.
    fn forget_scratch(&self, path: &mut Path) {
        let arch = self.space.core.arch;
        for &number in self.numbers {
            if number != arch.sp && !arch.callee_saved.contains(&number) {
                path.registers.set(number, None);
            }
        }
    }

    /// The DWARF number of a register of a whole word.
    fn number(&self, register: Register) -> Option<u16> {
        let whole = register.size() == self.space.core.arch.word && register.is_gpr();
        whole
            .then(|| self.numbers.get(register.number()).copied())
            .flatten()
    }

    fn cut(&self, value: u64) -> u64 {
        if self.space.core.arch.word == 8 {
            value
        } else {
            value & u64::from(u32::MAX)
        }
    }
}

/// Whether a jump goes through a fixed address, as the stubs of the procedure linkage table do: a
/// tail call, and no table of a `switch`.
fn is_stub(jump: &Instruction) -> bool {
    // 32-bit code that may lie anywhere keeps the table's address in ebx.
    jump.op_kind(0) == OpKind::Memory
        && jump.memory_index() == Register::None
        && matches!(
            jump.memory_base(),
            Register::RIP | Register::EBX | Register::None
        )
}

impl Path {
    fn write(&mut self, address: Option<u64>, value: Option<u64>) {
        if let Some(address) = address.filter(|_| self.written.len() < WRITTEN_MAX) {
            self.written.push((address, value));
        }
    }
}

//! Finds a caller by call frame information: `.eh_frame` and `.debug_frame`.

use super::{CodeAddress, Space, StackFrame, Step, code_address};
use crate::arch::{Arch, Registers};
use crate::dump::elf::PT_GNU_EH_FRAME;
use crate::modules::Module;
use crate::report::Trust;
use gimli::{
    BaseAddresses, CfaRule, CieOrFde, DebugFrame, EhFrame, EhFrameHdr, EndianSlice, Evaluation,
    EvaluationResult, Expression, FrameDescriptionEntry, LittleEndian, Location, ParsedEhFrameHdr,
    Register, RegisterRule, UnwindContext, UnwindOffset, UnwindSection, UnwindTableRow, Value,
};
use std::cell::OnceCell;

type Reader<'a> = EndianSlice<'a, LittleEndian>;
type Fde<'a> = FrameDescriptionEntry<Reader<'a>>;

/// No real expression takes more steps.
const EXPRESSION_STEPS_MAX: u32 = 1000;
/// More descriptions than the largest browsers have.
const DESCRIPTIONS_MAX: usize = 1 << 22;

/// Call frame information of one module.
pub(super) struct Tables<'a> {
    bases: BaseAddresses,
    header: Option<ParsedEhFrameHdr<Reader<'a>>>,
    eh_frame: EhFrame<Reader<'a>>,
    debug_frame: DebugFrame<Reader<'a>>,
    eh_index: OnceCell<Index>,
    debug_index: OnceCell<Index>,
}

/// Frame descriptions in order of address: first address, end, offset in the section.
type Index = Vec<(u64, u64, usize)>;

impl<'a> Tables<'a> {
    /// Finds the sections of a module's file.
    pub(super) fn of(module: &Module<'a>) -> Option<Self> {
        let object = module.object.as_ref()?;
        let word = if object.header.is_64 { 8 } else { 4 };
        let section = |name: &str| object.section(name);
        let [text, got] = [".text", ".got"].map(|name| section(name).unwrap_or_default());
        let header = section(".eh_frame_hdr").or_else(|| object.segment(PT_GNU_EH_FRAME));
        let header = header.unwrap_or_default();
        let mut bases = BaseAddresses::default()
            .set_text(text.address)
            .set_got(got.address)
            .set_eh_frame_hdr(header.address);
        let header = EhFrameHdr::new(header.data, LittleEndian)
            .parse(&bases, word)
            .ok();
        // Without section headers, the table's header says where the descriptions begin.
        let announced = || object.at_address(header.as_ref()?.eh_frame_ptr().direct().ok()?);
        let eh_frame = section(".eh_frame").or_else(announced).unwrap_or_default();
        bases = bases.set_eh_frame(eh_frame.address);
        let mut debug_frame = DebugFrame::new(
            section(".debug_frame").unwrap_or_default().data,
            LittleEndian,
        );
        let mut frame = EhFrame::new(eh_frame.data, LittleEndian);
        debug_frame.set_address_size(word);
        frame.set_address_size(word);
        if Arch::by_machine(object.header.machine).is_some_and(|arch| arch.name == "aarch64") {
            debug_frame.set_vendor(gimli::Vendor::AArch64);
            frame.set_vendor(gimli::Vendor::AArch64);
        }
        Some(Tables {
            bases,
            header,
            eh_frame: frame,
            debug_frame,
            eh_index: OnceCell::new(),
            debug_index: OnceCell::new(),
        })
    }

    /// The caller of a frame in this module; `None` when nothing describes the frame.
    pub(super) fn caller(
        &self,
        space: &Space<'_>,
        bias: u64,
        context: &mut UnwindContext<usize>,
        frame: &mut StackFrame,
    ) -> Option<Step> {
        let address = frame.address.lookup().wrapping_sub(bias);
        let from_eh_frame = self
            .by_header(address)
            .or_else(|| find(&self.eh_frame, &self.bases, &self.eh_index, address));
        if let Some(fde) = from_eh_frame {
            let step = self.apply(&self.eh_frame, &fde, space, address, context, frame);
            if step.is_some() {
                return step;
            }
        }
        let fde = find(&self.debug_frame, &self.bases, &self.debug_index, address)?;
        self.apply(&self.debug_frame, &fde, space, address, context, frame)
    }

    /// Binary search in `.eh_frame_hdr`. The table may be wrong: what it finds is verified.
    fn by_header(&self, address: u64) -> Option<Fde<'a>> {
        let header = self.header.as_ref()?;
        let found = header
            .table()?
            .lookup(address, &self.bases)
            .ok()?
            .direct()
            .ok()?;
        let offset = found.checked_sub(header.eh_frame_ptr().direct().ok()?)?;
        let offset = usize::try_from(offset).ok()?.into();
        let fde = self
            .eh_frame
            .fde_from_offset(&self.bases, offset, EhFrame::cie_from_offset)
            .ok()?;
        fde.contains(address).then_some(fde)
    }

    fn apply<S: UnwindSection<Reader<'a>>>(
        &self,
        section: &S,
        fde: &Fde<'a>,
        space: &Space<'_>,
        address: u64,
        context: &mut UnwindContext<usize>,
        frame: &mut StackFrame,
    ) -> Option<Step> {
        let row = fde
            .unwind_info_for_address(section, &self.bases, context, address)
            .ok()?;
        frame.trampoline |= fde.is_signal_trampoline();
        frame.entry = Some(fde.initial_address());
        let rules = Rules {
            section,
            fde,
            row,
            space,
            frame,
        };
        rules.step()
    }
}

/// Builds the index of a section once, then searches it.
fn find<'a, S: UnwindSection<Reader<'a>>>(
    section: &S,
    bases: &BaseAddresses,
    index: &OnceCell<Index>,
    address: u64,
) -> Option<Fde<'a>> {
    let index = index.get_or_init(|| index_of(section, bases));
    let after = index.partition_point(|(start, _, _)| *start <= address);
    let (_, end, offset) = index.get(after.checked_sub(1)?)?;
    if address >= *end {
        return None;
    }
    section
        .fde_from_offset(bases, (*offset).into(), S::cie_from_offset)
        .ok()
}

fn index_of<'a, S: UnwindSection<Reader<'a>>>(section: &S, bases: &BaseAddresses) -> Index {
    let mut index = Index::new();
    let mut entries = section.entries(bases);
    let mut cie = None;
    while let (Ok(Some(entry)), true) = (entries.next(), index.len() < DESCRIPTIONS_MAX) {
        let CieOrFde::Fde(partial) = entry else {
            continue;
        };
        // Descriptions come in runs of the same CIE.
        let parsed = partial.parse(|section, bases, offset| match &cie {
            Some((known, cie)) if *known == UnwindOffset::into(offset) => Ok(Clone::clone(cie)),
            _ => {
                let parsed = section.cie_from_offset(bases, offset)?;
                cie = Some((UnwindOffset::into(offset), parsed.clone()));
                Ok(parsed)
            }
        });
        if let Ok(fde) = parsed {
            index.push((fde.initial_address(), fde.end_address(), fde.offset()));
        }
    }
    index.sort_unstable();
    index
}

/// One row of rules, and what it applies to.
struct Rules<'r, 'a, S> {
    section: &'r S,
    fde: &'r Fde<'a>,
    row: &'r UnwindTableRow<usize>,
    space: &'r Space<'r>,
    frame: &'r StackFrame,
}

impl<'a, S: UnwindSection<Reader<'a>>> Rules<'_, 'a, S> {
    /// `None` when the rules need what is not known, such as a register that a guessed callee
    /// did not restore.
    fn step(&self) -> Option<Step> {
        let return_address = self.fde.cie().return_address_register();
        if self.row.register(return_address) == Some(RegisterRule::Undefined) {
            return Some(Step::Outermost);
        }
        let cfa = self.cfa()?;
        let mut registers = self.registers(cfa);
        let arch = self.space.core.arch;
        let pc = match arch.link {
            // The rule for the link register, or the register itself in a leaf function.
            Some(link) if self.row.register(return_address).is_none() => {
                self.frame.registers.get(link)
            }
            _ => registers.get(return_address.0),
        };
        let pc = code_address(self.space, pc?);
        registers.set(arch.pc, Some(pc));
        Some(self.checked(pc, registers))
    }

    /// Ends the walk where the result cannot be true.
    fn checked(&self, pc: u64, registers: Registers) -> Step {
        let arch = self.space.core.arch;
        let [before, after] =
            [&self.frame.registers, &registers].map(|r| r.get(arch.sp).unwrap_or(0));
        let trampoline = self.frame.trampoline;
        let leaf = matches!(self.frame.address, CodeAddress::Interrupted(_)) && arch.link.is_some();
        if !trampoline && (after < before || after == before && !leaf) {
            return Step::Lost(format!(
                "the stack pointer goes from {before:#x} to {after:#x}"
            ));
        }
        if pc == 0 && !trampoline {
            return Step::Outermost;
        }
        let address = if trampoline {
            CodeAddress::Interrupted(pc)
        } else {
            CodeAddress::Return(pc)
        };
        Step::Caller(StackFrame {
            address,
            trust: Trust::Cfi,
            trampoline: false,
            entry: None,
            registers,
        })
    }

    fn cfa(&self) -> Option<u64> {
        match self.row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => Some(
                self.frame
                    .registers
                    .get(register.0)?
                    .wrapping_add_signed(*offset),
            ),
            CfaRule::Expression(expression) => {
                self.evaluate(expression.get(self.section).ok()?, None)
            }
        }
    }

    fn registers(&self, cfa: u64) -> Registers {
        let arch = self.space.core.arch;
        let mut registers = Registers::default();
        for &register in arch.callee_saved {
            registers.set(register, self.frame.registers.get(register));
        }
        registers.set(arch.sp, Some(cfa));
        for &(register, ref rule) in self.row.registers() {
            registers.set(register.0, self.apply(register, rule, cfa));
        }
        registers
    }

    fn apply(&self, register: Register, rule: &RegisterRule<usize>, cfa: u64) -> Option<u64> {
        match rule {
            RegisterRule::SameValue => self.frame.registers.get(register.0),
            RegisterRule::Offset(offset) => self.space.read_word(cfa.wrapping_add_signed(*offset)),
            RegisterRule::ValOffset(offset) => Some(cfa.wrapping_add_signed(*offset)),
            RegisterRule::Register(other) => self.frame.registers.get(other.0),
            RegisterRule::Expression(expression) => {
                let address = self.evaluate(expression.get(self.section).ok()?, Some(cfa))?;
                self.space.read_word(address)
            }
            RegisterRule::ValExpression(expression) => {
                self.evaluate(expression.get(self.section).ok()?, Some(cfa))
            }
            RegisterRule::Constant(value) => Some(*value),
            _ => None,
        }
    }

    fn evaluate(&self, expression: Expression<Reader<'a>>, initial: Option<u64>) -> Option<u64> {
        let mut evaluation = expression.evaluation(self.fde.cie().encoding());
        evaluation.set_max_iterations(EXPRESSION_STEPS_MAX);
        if let Some(initial) = initial {
            evaluation.set_initial_value(initial);
        }
        let mut result = evaluation.evaluate().ok()?;
        loop {
            result = match result {
                EvaluationResult::Complete => return value_of(&evaluation),
                EvaluationResult::RequiresMemory { address, size, .. } => {
                    let mut bytes = [0; 8];
                    let found = self
                        .space
                        .read(address, bytes.get_mut(..usize::from(size))?);
                    let value = found.then(|| u64::from_le_bytes(bytes))?;
                    evaluation.resume_with_memory(Value::Generic(value)).ok()?
                }
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = self.frame.registers.get(register.0)?;
                    evaluation
                        .resume_with_register(Value::Generic(value))
                        .ok()?
                }
                _ => return None,
            };
        }
    }
}

fn value_of(evaluation: &Evaluation<Reader<'_>>) -> Option<u64> {
    match evaluation.as_result().first()?.location {
        Location::Address { address } => Some(address),
        Location::Value { value } => value.to_u64(u64::MAX).ok(),
        _ => None,
    }
}

//! Finds where a variable is: evaluates its DWARF location (DWARF 5, 2.6) in a frame.

use super::super::call_sites::{self, Target};
use super::super::entry::Entry;
use super::{Missing, Reader, Scene};
use crate::address::CodeAddress;
use gimli::{
    AttributeValue, Evaluation, EvaluationResult, Expression, Location, Piece, Register,
    UnitOffset, Value, ValueType,
};

/// No real expression takes more steps.
const STEPS_MAX: u32 = 1000;
/// Bytes of a variable that is not in memory.
const BYTES_MAX: u64 = 4096;
/// Callers asked for what they passed.
const CALLERS_MAX: usize = 4;
const WORD: usize = 8;

/// Where a variable's bytes are.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In the process's memory.
    Memory(u64),
    /// Put together from registers and constants; some may be nowhere.
    Bytes(Vec<Option<u8>>),
}

impl<'s, 'a> Scene<'s, '_, 'a> {
    /// Where a variable of this frame is.
    pub(super) fn locate(&self, variable: Entry<'s, 'a>) -> Result<Place, Missing> {
        let described = variable.origins().find_map(|entry| {
            let read = entry.read()?;
            let value = |name| Some((entry, read.attr_value(name)?));
            value(gimli::DW_AT_location).or_else(|| value(gimli::DW_AT_const_value))
        });
        let (entry, value) = described.ok_or(Missing::OptimizedOut)?;
        let expression = match value {
            AttributeValue::Exprloc(expression) => expression,
            AttributeValue::Block(bytes) | AttributeValue::String(bytes) => {
                return Ok(constant(bytes.slice()));
            }
            value if value.sdata_value().is_some() && !is_list(&value) => {
                let number = value.sdata_value().unwrap_or_default();
                return Ok(constant(&number.to_le_bytes()));
            }
            value => self.listed(entry, value)?,
        };
        self.evaluate(entry, expression)
    }

    fn listed(
        &self,
        entry: Entry<'s, 'a>,
        list: AttributeValue<Reader<'a>>,
    ) -> Result<Expression<Reader<'a>>, Missing> {
        let list = entry.unit.attr_locations(list).ok().flatten();
        let mut list = list.ok_or(Missing::OptimizedOut)?;
        while let Ok(Some(found)) = list.next() {
            if (found.range.begin..found.range.end).contains(&self.address) {
                return Ok(found.data);
            }
        }
        Err(Missing::OptimizedOut)
    }

    fn evaluate(
        &self,
        entry: Entry<'s, 'a>,
        expression: Expression<Reader<'a>>,
    ) -> Result<Place, Missing> {
        if expression.0.is_empty() {
            return Err(Missing::OptimizedOut);
        }
        let evaluation = self.complete(entry, expression)?;
        match evaluation.as_result() {
            [] => Err(Missing::OptimizedOut),
            [
                Piece {
                    size_in_bits: None,
                    location: Location::Address { address },
                    ..
                },
            ] => Ok(Place::Memory(*address)),
            pieces => self.assemble(pieces),
        }
    }

    /// Puts a variable together whose parts are in different places.
    fn assemble(&self, pieces: &[Piece<Reader<'a>>]) -> Result<Place, Missing> {
        let mut bytes: Vec<Option<u8>> = Vec::new();
        for piece in pieces {
            let size = piece.size_in_bits.map(|bits| bits.div_ceil(8));
            if bytes.len() as u64 + size.unwrap_or(WORD as u64) > BYTES_MAX {
                return Err(Missing::Unknown);
            }
            let part = self.part(piece, size, pieces.len() == 1)?;
            let size = size.map_or(Ok(part.len()), usize::try_from);
            let size = size.map_err(|_| Missing::Unknown)?;
            bytes.extend(part.into_iter().chain(std::iter::repeat(None)).take(size));
        }
        Ok(Place::Bytes(bytes))
    }

    fn part(
        &self,
        piece: &Piece<Reader<'a>>,
        size: Option<u64>,
        alone: bool,
    ) -> Result<Vec<Option<u8>>, Missing> {
        let known = |bytes: &[u8]| bytes.iter().copied().map(Some).collect();
        Ok(match &piece.location {
            Location::Register { register } => match self.register(*register) {
                Ok(value) => known(&value.to_le_bytes()),
                Err(missing) if alone => return Err(missing),
                Err(_) => Vec::new(),
            },
            Location::Address { address } => {
                let size = size
                    .map_or(Ok(WORD), usize::try_from)
                    .map_err(|_| Missing::Unknown)?;
                let mut bytes = vec![0; size];
                if !self.symbols.space.read(*address, &mut bytes) {
                    return Err(Missing::Absent);
                }
                known(&bytes)
            }
            Location::Value { value } => known(&bytes_of(*value)),
            Location::Bytes { value } => known(value.slice()),
            Location::Empty | Location::ImplicitPointer { .. } if alone => {
                return Err(Missing::OptimizedOut);
            }
            Location::Empty | Location::ImplicitPointer { .. } => Vec::new(),
        })
    }

    /// Evaluates to the end, with all that a core can answer.
    fn complete(
        &self,
        entry: Entry<'s, 'a>,
        expression: Expression<Reader<'a>>,
    ) -> Result<Evaluation<Reader<'a>>, Missing> {
        let mut evaluation = expression.evaluation(entry.unit.encoding());
        evaluation.set_max_iterations(STEPS_MAX);
        let mut result = evaluation.evaluate().map_err(|_| Missing::Unknown)?;
        loop {
            let resumed = match result {
                EvaluationResult::Complete => return Ok(evaluation),
                EvaluationResult::RequiresMemory {
                    address,
                    size,
                    base_type,
                    ..
                } => {
                    let value = self.memory(address, size)?;
                    evaluation.resume_with_memory(typed(entry, base_type, value)?)
                }
                EvaluationResult::RequiresRegister {
                    register,
                    base_type,
                } => {
                    let value = self.register(register)?;
                    evaluation.resume_with_register(typed(entry, base_type, value)?)
                }
                EvaluationResult::RequiresFrameBase => {
                    evaluation.resume_with_frame_base(self.frame_base()?)
                }
                EvaluationResult::RequiresCallFrameCfa => {
                    evaluation.resume_with_call_frame_cfa(self.cfa()?)
                }
                EvaluationResult::RequiresRelocatedAddress(address) => {
                    evaluation.resume_with_relocated_address(address.wrapping_add(self.bias))
                }
                EvaluationResult::RequiresIndexedAddress { index, relocate } => {
                    let address = entry.unit.address(index).map_err(|_| Missing::Unknown)?;
                    let bias = if relocate { self.bias } else { 0 };
                    evaluation.resume_with_indexed_address(address.wrapping_add(bias))
                }
                EvaluationResult::RequiresEntryValue(expression) => {
                    let value = self.entry_value(&expression)?;
                    evaluation.resume_with_entry_value(Value::Generic(value))
                }
                EvaluationResult::RequiresBaseType(offset) => {
                    evaluation.resume_with_base_type(base_type(entry, offset)?)
                }
                _ => return Err(Missing::Unknown),
            };
            result = resumed.map_err(|_| Missing::Unknown)?;
        }
    }

    fn memory(&self, address: u64, size: u8) -> Result<u64, Missing> {
        let mut bytes = [0; WORD];
        let part = bytes.get_mut(..usize::from(size)).ok_or(Missing::Unknown)?;
        if self.symbols.space.read(address, part) {
            Ok(u64::from_le_bytes(bytes))
        } else {
            Err(Missing::Absent)
        }
    }

    /// A register in this frame. Those that a callee need not keep are lost, as in gdb.
    fn register(&self, register: Register) -> Result<u64, Missing> {
        let frame = self.at.frame().ok_or(Missing::Unknown)?;
        frame.registers.get(register.0).ok_or(Missing::OptimizedOut)
    }

    /// The canonical frame address: the caller's stack pointer.
    fn cfa(&self) -> Result<u64, Missing> {
        let caller = self.at.caller().frame().ok_or(Missing::Unknown)?;
        let sp = self.symbols.space.core.arch.sp;
        caller.registers.get(sp).ok_or(Missing::Unknown)
    }

    fn frame_base(&self) -> Result<u64, Missing> {
        let function = self.debug.entry(self.address, self.function);
        let function = function.ok_or(Missing::Unknown)?;
        let base = function
            .read()
            .and_then(|read| read.attr_value(gimli::DW_AT_frame_base));
        let expression = match base {
            Some(AttributeValue::Exprloc(expression)) => expression,
            Some(list) => self.listed(function, list)?,
            None => return Err(Missing::Unknown),
        };
        let evaluation = self.complete(function, expression)?;
        match evaluation.as_result() {
            [piece] => match piece.location {
                Location::Register { register } => self.register(register),
                Location::Address { address } => Ok(address),
                _ => Err(Missing::Unknown),
            },
            _ => Err(Missing::Unknown),
        }
    }

    /// What the caller passed in a register (DWARF 5, 2.5.1.7), as its call site describes it.
    fn entry_value(&self, expression: &Expression<Reader<'a>>) -> Result<u64, Missing> {
        let [register] = expression.0.slice() else {
            return Err(Missing::OptimizedOut);
        };
        let is_register = (gimli::DW_OP_reg0.0..=gimli::DW_OP_reg31.0).contains(register);
        let caller = self.at.caller();
        let asked = self.callers_asked + 1;
        let frame = caller
            .frame()
            .filter(|_| is_register && asked <= CALLERS_MAX);
        let frame = frame.ok_or(Missing::OptimizedOut)?;
        let CodeAddress::Return(pc) = frame.address else {
            return Err(Missing::OptimizedOut);
        };
        let lookup = frame.address.lookup();
        let (debug, bias) = self.symbols.debug_at(lookup).ok_or(Missing::OptimizedOut)?;
        let address = lookup.wrapping_sub(bias);
        let function = debug.functions_at(address).last().copied();
        let function = function.ok_or(Missing::OptimizedOut)?;
        let scene = Scene {
            debug,
            bias,
            at: caller,
            address,
            function,
            callers_asked: asked,
            ..*self
        };
        let call = debug.call(address, pc.wrapping_sub(bias));
        let call = call.filter(|call| self.is_called_by(call, bias));
        let passed = call.and_then(|call| call_sites::passed(call, *register));
        let (entry, expression) = passed.ok_or(Missing::OptimizedOut)?;
        match scene.evaluate(entry, expression)? {
            // Here the result of the expression is the value, not where it is.
            Place::Memory(value) => Ok(value),
            Place::Bytes(bytes) => {
                let known: Option<Vec<u8>> = bytes.into_iter().take(WORD).collect();
                let mut word = [0; WORD];
                for (to, from) in word.iter_mut().zip(known.ok_or(Missing::OptimizedOut)?) {
                    *to = from;
                }
                Ok(u64::from_le_bytes(word))
            }
        }
    }

    /// Whether a call is known to be of this function. A function that was called may have jumped
    /// here with other arguments.
    fn is_called_by(&self, call: &Entry<'s, 'a>, caller_bias: u64) -> bool {
        let own = self.debug.entry(self.address, self.function);
        let own = own.and_then(call_sites::entry_address);
        let own = own.map(|own| own.wrapping_add(self.bias));
        let target = match call_sites::callee(*call) {
            Some(Target::Address(address)) => Some(address.wrapping_add(caller_bias)),
            Some(Target::Name(name)) => self.symbols.by_name("", &name).map(|(found, _)| found),
            None => None,
        };
        own.is_some() && own == target
    }

    /// Bytes of a variable, or why they are not known.
    pub(super) fn bytes(&self, place: &Place, offset: u64, size: u64) -> Result<Vec<u8>, Missing> {
        let size = usize::try_from(size.min(BYTES_MAX)).map_err(|_| Missing::Unknown)?;
        match place {
            Place::Memory(address) => {
                let mut bytes = vec![0; size];
                let found = self
                    .symbols
                    .space
                    .read(address.wrapping_add(offset), &mut bytes);
                if found {
                    Ok(bytes)
                } else {
                    Err(Missing::Absent)
                }
            }
            Place::Bytes(bytes) => {
                let start = usize::try_from(offset).map_err(|_| Missing::Unknown)?;
                let part = bytes.iter().skip(start).copied();
                // A value may be kept in less than its type's size: a small number in a register.
                let known: Option<Vec<u8>> = part.take(size).collect();
                let known = known.filter(|known| known.len() == size);
                known.ok_or(Missing::OptimizedOut)
            }
        }
    }
}

/// Whether a number is the place of a list of locations.
fn is_list(value: &AttributeValue<Reader<'_>>) -> bool {
    matches!(
        value,
        AttributeValue::SecOffset(_)
            | AttributeValue::LocationListsRef(_)
            | AttributeValue::DebugLocListsIndex(_)
    )
}

fn constant(bytes: &[u8]) -> Place {
    let limit = usize::try_from(BYTES_MAX).unwrap_or(usize::MAX);
    Place::Bytes(bytes.iter().take(limit).copied().map(Some).collect())
}

fn bytes_of(value: Value) -> Vec<u8> {
    match value {
        Value::F32(value) => value.to_le_bytes().to_vec(),
        Value::F64(value) => value.to_le_bytes().to_vec(),
        value => value
            .to_u64(u64::MAX)
            .unwrap_or_default()
            .to_le_bytes()
            .to_vec(),
    }
}

fn typed(entry: Entry<'_, '_>, kind: UnitOffset, value: u64) -> Result<Value, Missing> {
    if kind.0 == 0 {
        return Ok(Value::Generic(value));
    }
    Value::from_u64(base_type(entry, kind)?, value).map_err(|_| Missing::Unknown)
}

fn base_type(entry: Entry<'_, '_>, offset: UnitOffset) -> Result<ValueType, Missing> {
    if offset.0 == 0 {
        return Ok(ValueType::Generic);
    }
    let read = entry.at(offset).read();
    let kind = read.and_then(|read| ValueType::from_entry(&read).ok().flatten());
    kind.ok_or(Missing::Unknown)
}

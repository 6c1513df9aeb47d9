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
const CALLERS_MAX: usize = 32;
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
        if self.left_out {
            return Err(Missing::OptimizedOut);
        }
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
        if self.left_out {
            return Err(Missing::OptimizedOut);
        }
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
        let caller = if is_register { self.caller() } else { None };
        let (scene, after) = caller.ok_or(Missing::OptimizedOut)?;
        let call = scene.debug.call(scene.address, after);
        let call = call.filter(|call| scene.calls(*call, self));
        let passed = call.and_then(|call| call_sites::passed(call, *register));
        let (entry, expression) = passed.ok_or(Missing::OptimizedOut)?;
        scene.result(entry, expression)
    }

    /// Who called this function, and where the call returns to in the caller's file: the frame
    /// that holds the return address, or one that a tail call left out.
    fn caller(&self) -> Option<(Scene<'s, '_, 'a>, u64)> {
        let asked = self.callers_asked + 1;
        let (after, at, jumps) = match self.jumps.split_first() {
            Some((jump, others)) => (*jump, self.at, others),
            None => match self.at.caller().frame()?.address {
                CodeAddress::Return(pc) => (pc, self.at.caller(), &[][..]),
                CodeAddress::Interrupted(_) => return None,
            },
        };
        let lookup = after.checked_sub(1)?;
        let (debug, bias) = self.symbols.debug_at(lookup)?;
        let address = lookup.wrapping_sub(bias);
        let scene = Scene {
            debug,
            bias,
            at,
            address,
            function: *debug.functions_at(address).last()?,
            callers_asked: asked,
            jumps,
            left_out: !self.jumps.is_empty(),
            ..*self
        };
        (asked <= CALLERS_MAX).then_some((scene, after.wrapping_sub(bias)))
    }

    /// Whether a call in this frame is known to be of another's function. A function that was
    /// called may have jumped there with other arguments.
    fn calls(&self, call: Entry<'s, 'a>, callee: &Self) -> bool {
        let entry = callee.debug.entry(callee.address, callee.function);
        let entry = entry.and_then(call_sites::entry_address);
        let entry = entry.map(|entry| entry.wrapping_add(callee.bias));
        let target = match call_sites::callee(call) {
            Some(Target::Address(address)) => Some(address.wrapping_add(self.bias)),
            Some(Target::Name(name)) => self.symbols.function_by_name(&name),
            None => self.called_through(call),
        };
        entry.is_some() && entry == target
    }

    /// The function that a call through a pointer called.
    fn called_through(&self, call: Entry<'s, 'a>) -> Option<u64> {
        let pointer = call_sites::pointer(call)?;
        self.result(call, pointer).ok()
    }

    /// What an expression results in, where that is not a place.
    fn result(
        &self,
        entry: Entry<'s, 'a>,
        expression: Expression<Reader<'a>>,
    ) -> Result<u64, Missing> {
        let bytes = match self.evaluate(entry, expression)? {
            Place::Memory(value) => return Ok(value),
            Place::Bytes(bytes) => bytes,
        };
        let known: Option<Vec<u8>> = bytes.into_iter().take(WORD).collect();
        let mut word = [0; WORD];
        for (to, from) in word.iter_mut().zip(known.ok_or(Missing::OptimizedOut)?) {
            *to = from;
        }
        Ok(u64::from_le_bytes(word))
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

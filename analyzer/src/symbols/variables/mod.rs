//! Shows the arguments and local variables of frames, as far as debug information says where they
//! are.
//!
//! ```text
//! scopes    function and address → the variables in scope
//! location  where a variable is → memory, or bytes put together from registers
//! types     what it is: size, members, name
//! render    both → text; strings and numbers write what their names say
//! ```
//!
//! A value that is not known says why: `<optimized out>` where the compiler kept it nowhere,
//! `<not in the core>` where it was in memory that was not kept.

mod location;
mod numbers;
mod render;
mod scopes;
mod strings;
mod types;

use super::Symbols;
use super::dwarf::DebugInfo;
use super::entry::Entry;
use crate::report::{Trust, Variable};
use crate::unwind::StackFrame;
use gimli::{EndianSlice, LittleEndian, UnitOffset};
use location::Place;

pub(super) type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// Variables shown of one function.
const VARIABLES_MAX: usize = 64;

/// Why a value is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    /// The compiler kept it nowhere at this place.
    OptimizedOut,
    /// It was in memory that was not kept.
    Absent,
    /// Its description asks for what cannot be known from a core.
    Unknown,
}

impl Missing {
    fn text(self) -> &'static str {
        match self {
            Missing::OptimizedOut => "<optimized out>",
            Missing::Absent => "<not in the core>",
            Missing::Unknown => "<not known>",
        }
    }
}

/// A frame of a stack and the frames around it.
#[derive(Clone, Copy)]
struct At<'f> {
    stack: &'f [StackFrame],
    index: usize,
}

impl<'f> At<'f> {
    fn frame(self) -> Option<&'f StackFrame> {
        self.stack.get(self.index)
    }

    fn caller(self) -> Self {
        At {
            index: self.index + 1,
            ..self
        }
    }
}

impl<'a> Symbols<'_, 'a> {
    /// The variables of each function at a frame of a stack, innermost inlined one first, in the
    /// order of [`Symbols::find`]. Empty for a guessed frame: its registers would be guesses too.
    /// `jumps` holds the addresses after the tail calls between it and its caller.
    pub fn variables(
        &self,
        stack: &[StackFrame],
        index: usize,
        jumps: &[u64],
    ) -> Vec<Vec<Variable>> {
        let at = At { stack, index };
        let frame = at.frame().filter(|frame| frame.trust != Trust::Scan);
        frame.map_or_else(Vec::new, |frame| {
            self.variables_at(frame.address.lookup(), at, jumps, false)
        })
    }

    /// The same for the function whose frame the first of `jumps` left out.
    pub fn variables_left_out(
        &self,
        stack: &[StackFrame],
        index: usize,
        jumps: &[u64],
    ) -> Vec<Vec<Variable>> {
        let at = At { stack, index };
        let split = jumps.split_first();
        split.map_or_else(Vec::new, |(jump, others)| {
            self.variables_at(jump.saturating_sub(1), at, others, true)
        })
    }

    fn variables_at(
        &self,
        address: u64,
        at: At<'_>,
        jumps: &[u64],
        left_out: bool,
    ) -> Vec<Vec<Variable>> {
        let Some((debug, bias)) = self.debug_at(address) else {
            return Vec::new();
        };
        let own = address.wrapping_sub(bias);
        let functions = debug.functions_at(own);
        let Some(&outer) = functions.last() else {
            return Vec::new();
        };
        let scene = Scene {
            symbols: self,
            debug,
            bias,
            at,
            address: own,
            function: outer,
            jumps,
            left_out,
            callers_asked: 0,
        };
        let variables = |function: &UnitOffset| scene.variables(*function).unwrap_or_default();
        functions.iter().map(variables).collect()
    }

    /// The debug information of the module at an address, and the module's load bias.
    fn debug_at(&self, address: u64) -> Option<(&DebugInfo<'a>, u64)> {
        let (index, bias) = self.placed(address)?;
        Some((self.module(index).debug.as_ref()?, bias))
    }

    /// The name of the function that begins at an address.
    fn function_at(&self, address: u64) -> Option<String> {
        let (index, bias) = self.placed(address)?;
        let own = address.wrapping_sub(bias);
        let symbol = self.symbol(index, own)?;
        (symbol.address == own).then(|| super::demangle::demangle(&symbol.name))
    }
}

/// One physical frame, of whose functions variables are shown.
#[derive(Clone, Copy)]
struct Scene<'s, 'p, 'a> {
    symbols: &'s Symbols<'p, 'a>,
    debug: &'s DebugInfo<'a>,
    bias: u64,
    at: At<'s>,
    /// The frame's address in the file's own address space, inside an instruction.
    address: u64,
    /// The function that was not inlined.
    function: UnitOffset,
    /// Addresses after the jumps that tail calls made between this function and the caller's
    /// frame, innermost first.
    jumps: &'s [u64],
    /// Whether a tail call left out this function's frame: its registers and stack are gone.
    left_out: bool,
    /// Callers on the way here that were asked for what they passed.
    callers_asked: usize,
}

impl<'s, 'a> Scene<'s, '_, 'a> {
    fn variables(&self, function: UnitOffset) -> Option<Vec<Variable>> {
        let function = self.debug.entry(self.address, function)?;
        let declared = scopes::declared(function, self.address);
        let show = |declared: &scopes::Declared<'s, 'a>| self.show(declared);
        Some(
            declared
                .iter()
                .take(VARIABLES_MAX)
                .filter_map(show)
                .collect(),
        )
    }

    fn show(&self, declared: &scopes::Declared<'s, 'a>) -> Option<Variable> {
        let origin =
            |of: fn(Entry<'s, 'a>) -> Option<String>| declared.entry.origins().find_map(of);
        let name = origin(|entry| entry.text(gimli::DW_AT_name))?;
        let kind = declared
            .entry
            .origins()
            .find_map(|entry| entry.follow(gimli::DW_AT_type));
        let value = match self.place(declared) {
            Ok(place) => render::render(self, kind, &place),
            Err(missing) => missing.text().to_owned(),
        };
        Some(Variable {
            name,
            type_name: kind.map(types::name),
            value,
            argument: declared.is_argument,
        })
    }

    fn place(&self, declared: &scopes::Declared<'s, 'a>) -> Result<Place, Missing> {
        if !declared.is_concrete {
            return Err(Missing::OptimizedOut);
        }
        self.locate(declared.entry)
    }
}

//! Reads Go's table of functions and lines (`.gopclntab`), which Go programs keep when they are
//! stripped: names, files, lines, and how far each instruction has moved the stack pointer.
//!
//! Formats are those of Go 1.2, 1.16, 1.18 and 1.20 (`src/runtime/symtab.go`,
//! `src/internal/abi/symtab.go`, `src/debug/gosym/pclntab.go`).

use crate::dump::elf::number;
use crate::image::Object;

const MAGIC_1_2: u64 = 0xffff_fffb;
const MAGIC_1_16: u64 = 0xffff_fffa;
const MAGIC_1_18: u64 = 0xffff_fff0;
const MAGIC_1_20: u64 = 0xffff_fff1;
/// Longer names and paths are cut.
const TEXT_MAX: usize = 4096;
/// Calls inlined into each other.
const INLINED_MAX: usize = 64;
/// Steps in the table of one function.
const STEPS_MAX: usize = 1 << 20;

/// The table of one program.
#[derive(Clone, Copy, Debug)]
pub struct PcLineTable<'a> {
    data: &'a [u8],
    version: Version,
    quantum: u64,
    word: usize,
    /// Where the first function is, in the file's own addresses.
    text: u64,
    count: usize,
    names: &'a [u8],
    units: &'a [u8],
    files: &'a [u8],
    steps: &'a [u8],
    functions: &'a [u8],
    /// What the compiler left for functions (`go:func.*`): trees of inlined calls. Empty where its
    /// place is not known.
    function_data: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    V2,
    V16,
    V18,
    V20,
}

/// A function in the table.
#[derive(Clone, Copy, Debug)]
pub struct Function<'a> {
    table: PcLineTable<'a>,
    /// Its first address, in the file's own addresses.
    pub entry: u64,
    /// The next function's first address.
    end: u64,
    record: &'a [u8],
}

impl<'a> PcLineTable<'a> {
    /// The table of a program; `None` when it has none, or one of an unknown format.
    pub fn of(object: &Object<'a>) -> Option<Self> {
        let section = object
            .section(".gopclntab")
            .or_else(|| object.section(".data.rel.ro.gopclntab"))?;
        let text = object.section(".text").map_or(0, |text| text.address);
        let mut table = Self::parse(section.data, text)?;
        if let Some(data) = table.find_function_data(object, section.address) {
            table.function_data = data;
        }
        Some(table)
    }

    /// `runtime.firstmoduledata` begins with the table's own address, which Go's linker writes to
    /// the files of relocatable programs too.
    fn find_function_data(&self, object: &Object<'a>, address: u64) -> Option<&'a [u8]> {
        /// Words of `moduledata` in front of `gofunc`, without and with `covctrs`.
        const GOFUNC: [usize; 2] = [38, 40];
        let index = match self.version {
            Version::V18 => GOFUNC[0],
            Version::V20 => GOFUNC[1],
            _ => return None,
        };
        let data = object.section(".noptrdata")?.data;
        let word = self.word;
        let start = (0..data.len() / word).find(|at| number(data, at * word, word) == address)?;
        let functions = number(data, (start + index) * word, word);
        Some(object.at_address(functions)?.data)
    }

    fn parse(data: &'a [u8], text: u64) -> Option<Self> {
        let version = match number(data, 0, 4) {
            MAGIC_1_2 => Version::V2,
            MAGIC_1_16 => Version::V16,
            MAGIC_1_18 => Version::V18,
            MAGIC_1_20 => Version::V20,
            _ => return None,
        };
        let (quantum, word) = (number(data, 6, 1), usize::from(*data.get(7)?));
        if !matches!(quantum, 1 | 2 | 4) || !matches!(word, 4 | 8) {
            return None;
        }
        let field = |index: usize| number(data, 8 + index * word, word);
        let part = |index: usize| data.get(usize::try_from(field(index)).ok()?..);
        let first = if version >= Version::V18 { 3 } else { 2 };
        let [names, units, files, steps, functions] = if version == Version::V2 {
            [data, data, data, data, data.get(8 + word..)?]
        } else {
            [
                part(first)?,
                part(first + 1)?,
                part(first + 2)?,
                part(first + 3)?,
                part(first + 4)?,
            ]
        };
        // A program linked with C code has that in front of Go's; a relocatable one may have zero.
        let start = if version >= Version::V18 { field(2) } else { 0 };
        let table = PcLineTable {
            data,
            version,
            quantum,
            word,
            text: if start == 0 { text } else { start },
            count: usize::try_from(field(0)).ok()?,
            names,
            units,
            files,
            steps,
            functions,
            function_data: &[],
        };
        let size = table
            .count
            .checked_mul(2)?
            .checked_mul(table.entry_word())?;
        (size <= functions.len()).then_some(table)
    }

    /// The function that holds an address.
    pub fn find(&self, address: u64) -> Option<Function<'a>> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.start(middle) <= address {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let index = low.checked_sub(1)?;
        // Behind the last function stands the end of all.
        if address >= self.start(index + 1) {
            return None;
        }
        let word = self.entry_word();
        let offset = number(self.functions, (2 * index + 1) * word, word);
        let base = if self.version == Version::V2 {
            self.data
        } else {
            self.functions
        };
        Some(Function {
            table: *self,
            entry: self.start(index),
            end: self.start(index + 1),
            record: base.get(usize::try_from(offset).ok()?..)?,
        })
    }

    /// The function of this name.
    pub fn by_name(&self, name: &str) -> Option<Function<'a>> {
        (0..self.count)
            .filter_map(|index| self.find(self.start(index)))
            .find(|function| function.name() == Some(name))
    }

    fn entry_word(&self) -> usize {
        if self.version >= Version::V18 {
            4
        } else {
            self.word
        }
    }

    fn start(&self, index: usize) -> u64 {
        let word = self.entry_word();
        let start = number(self.functions, 2 * index * word, word);
        if self.version >= Version::V18 {
            self.text.wrapping_add(start)
        } else {
            start
        }
    }

    /// The value that a table of steps has for an address: pairs of differences, of value and
    /// address, as variable-length integers.
    fn value(&self, offset: u64, entry: u64, address: u64) -> Option<i64> {
        let mut bytes = self.steps.get(usize::try_from(offset).ok()?..)?.iter();
        let (mut value, mut at) = (-1_i64, entry);
        for step in 0..STEPS_MAX {
            let change = varint(&mut bytes)?;
            if change == 0 && step > 0 {
                return None;
            }
            let magnitude = i64::from(change >> 1);
            value += if change & 1 == 1 {
                !magnitude
            } else {
                magnitude
            };
            at = at.checked_add(u64::from(varint(&mut bytes)?) * self.quantum)?;
            if address < at {
                return Some(value);
            }
        }
        None
    }
}

impl<'a> Function<'a> {
    /// A field of the record behind the entry address.
    fn field(&self, index: usize) -> u64 {
        let entry = self.table.entry_word();
        number(self.record, entry + index * 4, 4)
    }

    /// How long it is, with what lies between it and the next, bytes.
    pub fn size(&self) -> u64 {
        self.end.saturating_sub(self.entry)
    }

    /// Its name with its package: `main.(*server).handle`.
    pub fn name(&self) -> Option<&'a str> {
        text(self.table.names, self.field(0))
    }

    /// File and line of an address.
    pub fn line(&self, address: u64) -> Option<(&'a str, u32)> {
        let line = self.table.value(self.field(5), self.entry, address)?;
        let file = self.table.value(self.field(4), self.entry, address)?;
        let file = u64::try_from(file).ok()?;
        let name = if self.table.version == Version::V2 {
            let index = usize::try_from(file).ok()?.checked_mul(4)?;
            text(self.table.data, number(self.table.file_table()?, index, 4))
        } else {
            let index = self.field(7).checked_add(file)?.checked_mul(4)?;
            let index = usize::try_from(index).ok()?;
            text(self.table.files, number(self.table.units, index, 4))
        };
        Some((name?, u32::try_from(line).ok().filter(|line| *line > 0)?))
    }

    /// The functions at an address, innermost inlined one first, with file and line.
    pub fn frames(&self, address: u64) -> Vec<(&'a str, Option<(&'a str, u32)>)> {
        let mut frames = Vec::new();
        let mut at = address;
        while let (Some((name, call)), true) = (self.inlined(at), frames.len() < INLINED_MAX) {
            frames.push((name, self.line(at)));
            at = call;
        }
        frames.extend(self.name().map(|name| (name, self.line(at))));
        frames
    }

    /// The inlined function that an address is in, and where it was called.
    fn inlined(&self, address: u64) -> Option<(&'a str, u64)> {
        const INLINE_INDEX: u64 = 2;
        const INLINE_TREE: u64 = 3;
        // Size of the record and of a call, and where in it name and caller are.
        let (record, size, name, caller) = match self.table.version {
            Version::V18 => (40, 20, 12, 16),
            Version::V20 => (44, 16, 4, 8),
            _ => return None,
        };
        let tables = self.field(6);
        let trees = number(self.record, record - 1, 1);
        if tables <= INLINE_INDEX || trees <= INLINE_TREE {
            return None;
        }
        let word = |index: u64| {
            let at = usize::try_from(index.checked_mul(4)?)
                .ok()?
                .checked_add(record)?;
            Some(number(self.record, at, 4))
        };
        let steps = word(INLINE_INDEX).filter(|steps| *steps != 0)?;
        let index = usize::try_from(self.table.value(steps, self.entry, address)?).ok()?;
        let tree = word(tables + INLINE_TREE).filter(|tree| *tree != u64::from(u32::MAX))?;
        let tree = self
            .table
            .function_data
            .get(usize::try_from(tree).ok()?..)?;
        let call = tree.get(index.checked_mul(size)?..)?.get(..size)?;
        let name = text(self.table.names, number(call, name, 4))?;
        Some((name, self.entry.checked_add(number(call, caller, 4))?))
    }

    /// How many bytes the function has put on the stack when it is at an address.
    pub fn stack_depth(&self, address: u64) -> Option<u64> {
        u64::try_from(self.table.value(self.field(3), self.entry, address)?).ok()
    }
}

impl<'a> PcLineTable<'a> {
    /// The table of files of Go 1.2, whose place stands behind the functions.
    fn file_table(&self) -> Option<&'a [u8]> {
        let behind = (2 * self.count + 1) * self.word;
        let offset = number(self.functions, behind, 4);
        self.data.get(usize::try_from(offset).ok()?..)
    }
}

fn text(table: &[u8], offset: u64) -> Option<&str> {
    let bytes = table.get(usize::try_from(offset).ok()?..)?;
    let bytes = bytes.get(..bytes.len().min(TEXT_MAX))?;
    let end = bytes.iter().position(|&byte| byte == 0)?;
    std::str::from_utf8(&bytes[..end])
        .ok()
        .filter(|text| !text.is_empty())
}

fn varint(bytes: &mut std::slice::Iter<'_, u8>) -> Option<u32> {
    let mut value = 0_u32;
    for shift in [0, 7, 14, 21, 28] {
        let byte = u32::from(*bytes.next()?);
        value |= (byte & 0x7f).wrapping_shl(shift);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

//! The code and memory at the place of a crash, as tables.

use super::text::clip;
use aground_analyzer::report;
use aground_analyzer::text::memory_lines;

/// The most rows of each table on a page.
const MOST: usize = 64;

/// The place of the crash.
#[derive(Clone, Debug)]
pub struct Site {
    /// What is marked in `code`.
    pub what: String,
    /// The function.
    pub function: Option<String>,
    /// Instructions.
    pub code: Vec<CodeRow>,
    /// Registers that the marked instruction uses: name, value, what is there.
    pub registers: Vec<(String, String, Option<String>)>,
    /// Pieces of memory.
    pub memory: Vec<Memory>,
    /// Whether memory was left out by policy.
    pub memory_withheld: bool,
}

/// An instruction as a row.
#[derive(Clone, Debug)]
pub struct CodeRow {
    /// Address.
    pub pc: String,
    /// `+20` from the function's beginning.
    pub offset: String,
    /// Bytes in hexadecimal.
    pub bytes: String,
    /// Intel syntax.
    pub text: String,
    /// Where a call or jump leads.
    pub target: Option<String>,
    /// Whether it is the one.
    pub marked: bool,
}

/// A piece of memory.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Why it is shown.
    pub what: String,
    /// The address it is shown for.
    pub address: String,
    /// Why nothing is known of it.
    pub absent: Option<String>,
    /// Address, bytes, text, whether the address is in it.
    pub lines: Vec<(String, String, String, bool)>,
}

impl Site {
    /// Of a report.
    pub fn new(site: &report::Site) -> Self {
        let register = |register: &report::RegisterUse| {
            let points_to = register.points_to.as_deref().map(|text| clip(text, 300));
            let value = format!("{:#018x}", register.value.0);
            (clip(&register.name, 16), value, points_to)
        };
        Self {
            what: clip(&site.what, 100),
            function: site.function.as_deref().map(|name| clip(name, 300)),
            code: site.code.iter().take(MOST).map(CodeRow::new).collect(),
            registers: site.registers.iter().take(MOST).map(register).collect(),
            memory: site.memory.iter().take(MOST).map(Memory::new).collect(),
            memory_withheld: site.memory_withheld,
        }
    }
}

impl CodeRow {
    fn new(line: &report::CodeLine) -> Self {
        Self {
            pc: format!("{:#018x}", line.pc.0),
            offset: line.offset.map(|o| format!("+{o}")).unwrap_or_default(),
            bytes: clip(&line.bytes, 60),
            text: clip(&line.text, 200),
            target: line.target.as_deref().map(|target| clip(target, 200)),
            marked: line.marked,
        }
    }
}

impl Memory {
    fn new(range: &report::MemoryRange) -> Self {
        let line = |(address, bytes, text): (u64, String, String)| {
            let here = range.address.0.wrapping_sub(address) < 16;
            (format!("{address:#018x}"), clip(&bytes, 60), text, here)
        };
        let lines = memory_lines(range).into_iter().take(MOST).map(line);
        Self {
            what: clip(&range.what, 100),
            address: range.address.to_string(),
            absent: range.absent.as_deref().map(|text| clip(text, 200)),
            lines: lines.collect(),
        }
    }
}

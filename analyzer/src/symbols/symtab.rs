//! Names addresses by symbol tables, with gdb's preferences.

use super::stubs;
use crate::image::Object;
use object::{Object as _, ObjectSymbol as _, ObjectSymbolTable as _, SymbolKind, SymbolSection};
use serde::{Deserialize, Serialize};

/// More symbols than the largest programs have.
const SYMBOLS_MAX: usize = 1 << 24;

/// A function in a symbol table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Symbol<'a> {
    /// Address in the file's own address space.
    pub address: u64,
    /// Whether its size is known. Labels of assembler code have none.
    sized: bool,
    /// Whether other files may use it: its name is the one that people know.
    global: bool,
    /// The linker's name, without symbol version.
    pub name: &'a str,
    /// Its size; 0 when not known.
    pub size: u64,
    /// Whether it only jumps to the function of that name in another file.
    pub is_stub: bool,
}

impl<'a> Symbol<'a> {
    /// A stub for a function of another file.
    pub(super) fn stub(address: u64, size: u64, name: &'a str) -> Self {
        Symbol {
            address,
            sized: true,
            global: false,
            name,
            size,
            is_stub: true,
        }
    }

    /// The name, with `@plt` where it is a stub.
    pub fn full_name(&self) -> String {
        let suffix = if self.is_stub { "@plt" } else { "" };
        format!("{}{suffix}", self.name)
    }
}

/// A function in a symbol table, apart from the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedSymbol {
    /// Address in the file's own address space.
    pub address: u64,
    /// Its size; 0 when not known.
    pub size: u64,
    /// The linker's name, with `@plt` where it is a stub.
    pub name: String,
}

impl From<Symbol<'_>> for NamedSymbol {
    fn from(symbol: Symbol<'_>) -> Self {
        NamedSymbol {
            address: symbol.address,
            size: symbol.size,
            name: symbol.full_name(),
        }
    }
}

/// Functions of a file, by address.
#[derive(Debug, Default)]
pub struct SymbolTable<'a> {
    /// By address; of several at one address, the last is preferred.
    symbols: Vec<Symbol<'a>>,
}

impl<'a> SymbolTable<'a> {
    /// Reads `.symtab` and `.dynsym` of some files that describe the same code.
    pub fn of(objects: &[&Object<'a>]) -> Self {
        let mut symbols = Vec::new();
        for object in objects {
            let tables = [
                object.file.symbol_table(),
                object.file.dynamic_symbol_table(),
            ];
            for symbol in tables
                .iter()
                .flatten()
                .flat_map(object::ObjectSymbolTable::symbols)
            {
                if symbols.len() < SYMBOLS_MAX {
                    symbols.extend(function(&symbol));
                }
            }
            symbols.extend(stubs::of(object));
        }
        // As gdb: of several names at one address the alphabetically last, which prefers `raise`
        // to `gsignal` and `write` to `__write`; names with a size before labels, global ones before
        // those of one file.
        symbols.sort_unstable();
        symbols.dedup();
        SymbolTable { symbols }
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    /// The function that holds an address: the nearest symbol before it, if the address lies
    /// within its size. A symbol without a size reaches to the next one.
    pub fn find(&self, address: u64) -> Option<Symbol<'a>> {
        let after = self
            .symbols
            .partition_point(|symbol| symbol.address <= address);
        let before = self.symbols.get(..after)?;
        let nearest = before.last()?;
        let holds = |symbol: &&Symbol| address - symbol.address < symbol.size;
        // A label inside a function does not name it; a function around a nested one does.
        let sized = before
            .iter()
            .rev()
            .take(16)
            .filter(|symbol| symbol.sized)
            .find(holds);
        sized
            .copied()
            .or_else(|| (!nearest.sized).then_some(*nearest))
    }
}

fn function<'a>(symbol: &object::Symbol<'a, '_>) -> Option<Symbol<'a>> {
    let code = match symbol.kind() {
        SymbolKind::Text => true,
        SymbolKind::Unknown | SymbolKind::Label => symbol.size() == 0,
        _ => false,
    };
    if !code || symbol.is_undefined() || !matches!(symbol.section(), SymbolSection::Section(_)) {
        return None;
    }
    let name = symbol
        .name()
        .ok()
        .filter(|name| !name.is_empty() && !is_mapping_symbol(name))?;
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    let (address, size) = (symbol.address(), symbol.size());
    Some(Symbol {
        address,
        sized: size > 0,
        global: symbol.is_global(),
        name,
        size,
        is_stub: false,
    })
}

/// `$x` and `$d` mark code and data in ARM files; `.L…` are the assembler's own labels.
fn is_mapping_symbol(name: &str) -> bool {
    name.starts_with('$') || name.starts_with(".L")
}

/// A defined symbol of any kind by its name: address in the file's own address space and size.
pub fn by_name(object: &Object<'_>, name: &str) -> Option<(u64, u64)> {
    // Most names are in few files, and a look at the names alone takes no time.
    let is_listed = [".dynstr", ".strtab"].iter().any(|section| {
        let names = object.section(section).unwrap_or_default().data;
        memchr::memmem::find(names, name.as_bytes()).is_some()
    });
    if !is_listed {
        return None;
    }
    let tables = [
        object.file.dynamic_symbol_table(),
        object.file.symbol_table(),
    ];
    let is_it = |symbol: &object::Symbol<'_, '_>| {
        symbol
            .name_bytes()
            .is_ok_and(|found| found == name.as_bytes())
            && !symbol.is_undefined()
    };
    let found = tables
        .iter()
        .flatten()
        .find_map(|table| table.symbols().find(is_it))?;
    Some((found.address(), found.size()))
}

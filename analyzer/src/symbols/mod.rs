//! Names the frames of stacks: functions, files and lines.
//!
//! Where names come from, best first: DWARF of the module's file or of its separate debug file
//! (with inlined functions), Go's own table, `.symtab`, `.gnu_debugdata`, `.dynsym`.

mod call_sites;
pub mod demangle;
pub mod dwarf;
mod entry;
pub mod locate;
mod scope;
pub mod split;
mod statement;
mod stubs;
pub mod symtab;
mod tail_calls;
mod variables;

use crate::image::{Image, Object};
use crate::pclntab::PcLineTable;
use crate::scene::Function;
use crate::space::Space;
use dwarf::{DebugInfo, Location};
use locate::DebugFiles;
use split::SplitFiles;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use symtab::SymbolTable;
use tail_calls::Placed;

/// A function at an address, named.
#[derive(Clone, Debug, Default)]
pub struct Name {
    /// Readable name.
    pub function: Option<String>,
    /// The linker's name.
    pub linkage_name: Option<String>,
    /// Source file.
    pub file: Option<String>,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
}

/// Names addresses of a process; what a module knows is read when it is first asked.
pub struct Symbols<'s, 'a> {
    space: &'s Space<'a>,
    files: &'a [DebugFiles],
    modules: Vec<OnceCell<ModuleSymbols<'a>>>,
    known: HashMap<(usize, u64), Vec<Name>>,
    calls: HashMap<u64, Option<Rc<Placed>>>,
    functions: RefCell<HashMap<String, Option<u64>>>,
    /// Variables that may still be shown.
    pub(crate) variables_left: usize,
}

/// What names the code of one module.
#[derive(Default)]
struct ModuleSymbols<'a> {
    image: Option<&'a Image>,
    files: Option<&'a DebugFiles>,
    debug: Option<DebugInfo<'a>>,
    table: OnceCell<SymbolTable<'a>>,
    go: Option<PcLineTable<'a>>,
}

impl<'s, 'a> Symbols<'s, 'a> {
    /// `files` holds the separate debug files of each module of `space`, in its order.
    pub fn new(space: &'s Space<'a>, files: &'a [DebugFiles]) -> Self {
        let modules = space.modules.iter().map(|_| OnceCell::new()).collect();
        Symbols {
            space,
            files,
            modules,
            known: HashMap::new(),
            calls: HashMap::new(),
            functions: RefCell::default(),
            variables_left: 0,
        }
    }

    /// Lets frames have the values of their variables from now on, which are parts of memory: so
    /// many of them.
    pub fn show_variables(&mut self, most: usize) {
        self.variables_left = most;
    }

    /// The functions at an address inside an instruction, innermost inlined one first.
    pub fn find(&mut self, address: u64) -> Vec<Name> {
        let Some(index) = self.space.module_index(address) else {
            return Vec::new();
        };
        let own = address.wrapping_sub(self.space.modules[index].bias);
        if let Some(known) = self.known.get(&(index, own)) {
            return known.clone();
        }
        let names = self.module(index).find(own);
        self.known.insert((index, own), names.clone());
        names
    }

    /// What symbols a module has, as the report's `debug` calls it: by its sections' names, so
    /// that modules without frames are not read.
    pub fn kind(&self, index: usize) -> &'static str {
        let module = self
            .space
            .modules
            .get(index)
            .and_then(|module| module.object.as_ref());
        let separate = self
            .files
            .get(index)
            .and_then(|files| files.debug.as_ref()?.object());
        let has = |name| {
            [module, separate.as_ref()]
                .into_iter()
                .flatten()
                .any(|object| object.has(name))
        };
        match () {
            () if has(".debug_info") => "dwarf",
            () if has(".gopclntab") || has(".data.rel.ro.gopclntab") => "pclntab",
            () if has(".symtab") || has(".gnu_debugdata") => "symtab",
            () if has(".dynsym") => "dynsym",
            () => "none",
        }
    }

    /// Process address and size of a defined symbol in the modules whose file name starts with
    /// `prefix`. A file that the process only read is mapped too, but no part of the program.
    pub fn by_name(&self, prefix: &str, name: &str) -> Option<(u64, u64)> {
        let candidates = self.space.modules.iter().zip(self.files);
        candidates
            .filter(|(module, _)| module.found.file_name().starts_with(prefix))
            .filter(|(module, _)| self.space.is_loaded(module))
            .find_map(|(module, files)| {
                let own = module
                    .object
                    .as_ref()
                    .and_then(|object| symtab::by_name(object, name));
                let separate = || symtab::by_name(&files.debug.as_ref()?.object()?, name);
                let (address, size) = own.or_else(separate)?;
                Some((address.wrapping_add(module.bias), size))
            })
    }

    /// The function whose symbol covers an address, in a module that some frame made us read:
    /// a pointer to anywhere is not worth the symbols of another one.
    pub fn function(&self, address: u64) -> Option<Function> {
        let index = self.space.module_index(address)?;
        let bias = self.space.modules[index].bias;
        let read = self.modules[index].get()?;
        let symbol = read.table().find(address.wrapping_sub(bias))?;
        Some(Function {
            start: symbol.address.wrapping_add(bias),
            size: symbol.size,
            name: demangle::demangle(symbol.name),
        })
    }

    /// The calls of the function at an address inside an instruction.
    fn calls(&mut self, address: u64) -> Option<Rc<Placed>> {
        if let Some(known) = self.calls.get(&address) {
            return known.clone();
        }
        let found = self.space.module_index(address).and_then(|index| {
            let bias = self.space.modules[index].bias;
            let calls = self
                .module(index)
                .debug
                .as_ref()?
                .calls(address.wrapping_sub(bias))?;
            Some(Rc::new(Placed::new(bias, calls)))
        });
        self.calls.insert(address, found.clone());
        found
    }

    /// Where the function at an address begins.
    fn entry(&mut self, address: u64) -> Option<u64> {
        if let Some(placed) = self.calls(address) {
            return Some(placed.calls.entry.wrapping_add(placed.bias));
        }
        let index = self.space.module_index(address)?;
        let bias = self.space.modules[index].bias;
        let symbol = self
            .module(index)
            .table()
            .find(address.wrapping_sub(bias))?;
        Some(symbol.address.wrapping_add(bias))
    }

    /// Where the function of this linker's name begins.
    fn function_by_name(&self, name: &str) -> Option<u64> {
        if let Some(known) = self.functions.borrow().get(name) {
            return *known;
        }
        let found = self.by_name("", name).map(|(address, _)| address);
        self.functions.borrow_mut().insert(name.to_owned(), found);
        found
    }

    fn module(&self, index: usize) -> &ModuleSymbols<'a> {
        let read = || match (self.space.modules.get(index), self.files.get(index)) {
            (Some(module), Some(files)) => ModuleSymbols::of(module.found.image.as_ref(), files),
            _ => ModuleSymbols::default(),
        };
        self.modules[index].get_or_init(read)
    }
}

impl<'a> ModuleSymbols<'a> {
    fn of(image: Option<&'a Image>, files: &'a DebugFiles) -> Self {
        let own = image.and_then(Image::object);
        let separate = files.debug.as_ref().and_then(Image::object);
        let shared = files.shared.as_ref().and_then(Image::object);
        let debug = [&own, &separate].into_iter().flatten().find_map(|object| {
            DebugInfo::of(object, shared.as_ref(), SplitFiles::new(&files.split))
        });
        ModuleSymbols {
            image,
            files: Some(files),
            debug,
            table: OnceCell::new(),
            go: own.as_ref().and_then(PcLineTable::of),
        }
    }

    /// The symbol tables, which a module with debug information seldom needs: of a large program
    /// they take longer to read than all else.
    fn table(&self) -> &SymbolTable<'a> {
        self.table.get_or_init(|| {
            let debug = self.files.and_then(|files| files.debug.as_ref());
            let hidden = self.image.and_then(Image::debugdata);
            let images = [self.image, debug, hidden].into_iter().flatten();
            let objects: Vec<Object<'a>> = images.filter_map(Image::object).collect();
            SymbolTable::of(&objects.iter().collect::<Vec<_>>())
        })
    }

    fn find(&self, address: u64) -> Vec<Name> {
        let found = self
            .debug
            .as_ref()
            .map(|debug| debug.find(address))
            .unwrap_or_default();
        let is_named = found.last().is_some_and(|last| last.function.is_some());
        let symbol = if is_named {
            None
        } else {
            self.table().find(address)
        };
        let symbol = symbol.map(|symbol| symbol.full_name());
        let symbol = symbol.as_deref();
        if found.is_empty() {
            let by_go = self.go.as_ref().map(|go| named_by_go(go, address));
            if let Some(names) = by_go.filter(|names| !names.is_empty()) {
                return names;
            }
            return symbol
                .map(|name| named(Some(name), Location::default()))
                .into_iter()
                .collect();
        }
        let last = found.len() - 1;
        let name = |(index, location): (usize, Location)| {
            // Assembler code has lines but no function entries; the symbol names it.
            let symbol = if index == last { symbol } else { None };
            named(symbol, location)
        };
        found.into_iter().enumerate().map(name).collect()
    }
}

/// What Go's own table says, which stripping leaves: inlined functions first.
fn named_by_go(table: &PcLineTable<'_>, address: u64) -> Vec<Name> {
    let function = table.find(address);
    let frames = function.map(|function| function.frames(address));
    let name = |(name, place): (&str, Option<(&str, u32)>)| {
        let (file, line) = place.unzip();
        Name {
            function: Some(name.to_owned()),
            linkage_name: Some(name.to_owned()),
            file: file.map(str::to_owned),
            line,
            column: None,
        }
    };
    frames.unwrap_or_default().into_iter().map(name).collect()
}

/// What DWARF says, or else the symbol table.
fn named(symbol: Option<&str>, location: Location) -> Name {
    let symbol = if location.function.is_none() {
        symbol
    } else {
        None
    };
    Name {
        function: location.function.or_else(|| symbol.map(demangle::demangle)),
        linkage_name: location.linkage_name.or_else(|| symbol.map(str::to_owned)),
        file: location.file,
        line: location.line,
        column: location.column,
    }
}

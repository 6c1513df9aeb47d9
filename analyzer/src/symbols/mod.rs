//! Names the frames of stacks: functions, files and lines.
//!
//! Where names come from, best first: DWARF of the module's file or of its separate debug file
//! (with inlined functions), Go's own table, `.symtab`, `.gnu_debugdata`, `.dynsym`.

mod call_sites;
pub mod demangle;
pub mod dwarf;
mod entry;
pub mod known;
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
use call_sites::{Calls, Jump, Target};
use dwarf::{DebugInfo, Functions, Location};
use known::{Questions, Recall};
use locate::DebugFiles;
use serde::{Deserialize, Serialize};
use split::SplitFiles;
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use symtab::{NamedSymbol, SymbolTable};

/// A function at an address, named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    recall: &'s [Recall],
    nothing: Recall,
    modules: Vec<OnceCell<ModuleSymbols<'a>>>,
    known: HashMap<(usize, u64), Vec<Name>>,
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
    calls: RefCell<HashMap<u64, Option<Rc<Calls>>>>,
}

impl<'s, 'a> Symbols<'s, 'a> {
    /// `files` holds the separate debug files of each module of `space`, in its order, `recall`
    /// what is known from before; both may be shorter.
    pub(crate) fn new(space: &'s Space<'a>, files: &'a [DebugFiles], recall: &'s [Recall]) -> Self {
        let modules = space.modules.iter().map(|_| OnceCell::new()).collect();
        Symbols {
            space,
            files,
            recall,
            nothing: Recall::default(),
            modules,
            known: HashMap::new(),
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
        let look_up = || self.module(index).find(own);
        let names = self.recall(index).names(own, look_up);
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
        let modules = self.space.modules.iter().enumerate();
        modules
            .filter(|(_, module)| module.found.file_name().starts_with(prefix))
            .filter(|(_, module)| self.space.is_loaded(module))
            .find_map(|(index, module)| {
                let look_up = || address_of(module.object.as_ref(), self.files.get(index), name);
                let (address, size) = self.recall(index).address(name, look_up)?;
                Some((address.wrapping_add(module.bias), size))
            })
    }

    /// The function whose symbol covers an address, in a module that some frame made us read:
    /// a pointer to anywhere is not worth the symbols of another one.
    pub fn function(&self, address: u64) -> Option<Function> {
        let (index, bias) = self.placed(address)?;
        let is_known = self.recall(index).is_answered();
        if !is_known && self.modules.get(index)?.get().is_none() {
            return None;
        }
        let symbol = self.symbol(index, address.wrapping_sub(bias))?;
        Some(Function {
            start: symbol.address.wrapping_add(bias),
            size: symbol.size,
            name: demangle::demangle(&symbol.name),
        })
    }

    fn symbol(&self, index: usize, own: u64) -> Option<NamedSymbol> {
        let look_up = || self.module(index).symbol(own);
        self.recall(index).symbol(own, look_up)
    }

    /// The module at an address and its load bias.
    fn placed(&self, address: u64) -> Option<(usize, u64)> {
        let index = self.space.module_index(address)?;
        Some((index, self.space.modules.get(index)?.bias))
    }

    /// What the call before an address calls, and its module's load bias.
    fn callee(&self, return_address: u64) -> Option<(u64, Target)> {
        let (index, bias) = self.placed(return_address.saturating_sub(1))?;
        let own = return_address.wrapping_sub(bias);
        let look_up = || self.module(index).callee(own);
        Some((bias, self.recall(index).callee(own, look_up)?))
    }

    /// The jumps to other functions that the function at an address makes, and its module's load
    /// bias.
    fn jumps(&self, address: u64) -> Option<(u64, Vec<Jump>)> {
        let (index, bias) = self.placed(address)?;
        let own = address.wrapping_sub(bias);
        let look_up = || self.module(index).jumps(own);
        Some((bias, self.recall(index).jumps(own, look_up)))
    }

    /// Where the function at an address begins.
    fn entry(&self, address: u64) -> Option<u64> {
        let (index, bias) = self.placed(address)?;
        let own = address.wrapping_sub(bias);
        let look_up = || self.module(index).entry(own);
        let entry = self.recall(index).entry(own, look_up)?;
        Some(entry.wrapping_add(bias))
    }

    /// What was asked of the modules that nobody had answered before, by their place in `space`.
    pub(crate) fn asked(&self) -> Vec<(usize, Questions)> {
        let recall = self.recall.iter().enumerate();
        let asked = recall.map(|(index, recall)| {
            let read = self.modules.get(index).and_then(OnceCell::get);
            let debug = read.and_then(|module| module.debug.as_ref());
            let functions = debug.map(DebugInfo::asked).unwrap_or_default();
            (index, recall.questions(functions))
        });
        asked.filter(|(_, asked)| !asked.is_empty()).collect()
    }

    fn recall(&self, index: usize) -> &Recall {
        self.recall.get(index).unwrap_or(&self.nothing)
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
            (Some(module), Some(files)) => {
                let known = self.recall(index).known();
                let functions = known.map(|known| known.functions.clone());
                ModuleSymbols::of(module.found.image.as_ref(), files, functions)
            }
            _ => ModuleSymbols::default(),
        };
        self.modules[index].get_or_init(read)
    }
}

impl<'a> ModuleSymbols<'a> {
    fn of(
        image: Option<&'a Image>,
        files: &'a DebugFiles,
        known: Option<BTreeMap<u64, Functions>>,
    ) -> Self {
        let own = image.and_then(Image::object);
        let separate = files.debug.as_ref().and_then(Image::object);
        let shared = files.shared.as_ref().and_then(Image::object);
        let debug = [&own, &separate].into_iter().flatten().find_map(|object| {
            DebugInfo::of(object, shared.as_ref(), SplitFiles::new(&files.split))
        });
        ModuleSymbols {
            image,
            files: Some(files),
            debug: debug.map(|debug| debug.knowing(known.unwrap_or_default())),
            table: OnceCell::new(),
            go: own.as_ref().and_then(PcLineTable::of),
            calls: RefCell::default(),
        }
    }

    /// The calls of the function at an address.
    fn calls(&self, address: u64) -> Option<Rc<Calls>> {
        if let Some(known) = self.calls.borrow().get(&address) {
            return known.clone();
        }
        let debug = self.debug.as_ref();
        let calls = debug.and_then(|debug| debug.calls(address)).map(Rc::new);
        self.calls.borrow_mut().insert(address, calls.clone());
        calls
    }

    fn callee(&self, after: u64) -> Option<Target> {
        self.calls(after.checked_sub(1)?)?.callee(after).cloned()
    }

    fn jumps(&self, address: u64) -> Vec<Jump> {
        let calls = self.calls(address);
        calls.map(|calls| calls.jumps()).unwrap_or_default()
    }

    fn entry(&self, address: u64) -> Option<u64> {
        if let Some(calls) = self.calls(address) {
            return Some(calls.entry);
        }
        self.table().find(address).map(|symbol| symbol.address)
    }

    fn functions(&self, address: u64) -> Functions {
        let debug = self.debug.as_ref();
        debug
            .map(|debug| debug.functions(address))
            .unwrap_or_default()
    }

    fn symbol(&self, address: u64) -> Option<NamedSymbol> {
        self.table().find(address).map(NamedSymbol::from)
    }

    /// Address and size of a defined symbol.
    fn address_of(&self, name: &str) -> Option<(u64, u64)> {
        address_of(self.image?.object().as_ref(), self.files, name)
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

/// Address and size of a symbol that a module's file defines, or its separate debug file.
fn address_of(
    object: Option<&Object<'_>>,
    files: Option<&DebugFiles>,
    name: &str,
) -> Option<(u64, u64)> {
    let own = object.and_then(|object| symtab::by_name(object, name));
    let separate = || symtab::by_name(&files?.debug.as_ref()?.object()?, name);
    own.or_else(separate)
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

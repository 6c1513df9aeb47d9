//! What was found out before of a build's code, so that its next crash costs little.
//!
//! An analysis notes what it asked of each module's symbols ([`Questions`]). Whoever has the
//! module's files, and not the core, answers ([`answer`]): a hostile core must not decide how the
//! crashes of others read. Later analyses are handed the answers ([`Known`]) and read debug
//! information only for what they ask besides.
//!
//! Addresses are the file's own.

use super::call_sites::{Jump, Target};
use super::dwarf::Functions;
use super::locate::DebugFiles;
use super::symtab::NamedSymbol;
use super::{ModuleSymbols, Name};
use crate::image::Image;
use crate::modules::{Found, ModuleSource};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Answers kept of one module, and questions noted of one analysis.
const ANSWERS_MAX: usize = 8192;
/// Longer names are looked up each time, bytes.
const NAME_MAX: usize = 1024;

/// What an analysis asked of a module and nobody had answered before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Questions {
    /// The functions at these addresses.
    pub names: BTreeSet<u64>,
    /// Where the functions at these addresses begin.
    pub entries: BTreeSet<u64>,
    /// What the calls that return to these addresses call.
    pub callees: BTreeSet<u64>,
    /// The jumps to other functions that the functions at these addresses make.
    pub jumps: BTreeSet<u64>,
    /// The entries of debug information that describe the functions at these addresses.
    pub functions: BTreeSet<u64>,
    /// The symbols that cover these addresses.
    pub symbols: BTreeSet<u64>,
    /// Where the symbols of these names are.
    pub addresses: BTreeSet<String>,
}

/// The answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Known {
    names: BTreeMap<u64, Vec<Name>>,
    entries: BTreeMap<u64, Option<u64>>,
    callees: BTreeMap<u64, Option<Target>>,
    jumps: BTreeMap<u64, Vec<Jump>>,
    pub(super) functions: BTreeMap<u64, Functions>,
    symbols: BTreeMap<u64, Option<NamedSymbol>>,
    addresses: BTreeMap<String, Option<(u64, u64)>>,
}

impl Questions {
    /// Whether nothing was asked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        let sets = [
            &self.names,
            &self.entries,
            &self.callees,
            &self.jumps,
            &self.functions,
            &self.symbols,
        ];
        sets.iter().map(|set| set.len()).sum::<usize>() + self.addresses.len()
    }
}

impl Known {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.names.len()
            + self.entries.len()
            + self.callees.len()
            + self.jumps.len()
            + self.functions.len()
            + self.symbols.len()
            + self.addresses.len()
    }

    /// Adds other answers about the same files; where there is no room for them, they take the
    /// place of the old ones.
    pub fn add(&mut self, other: Known) {
        if self.len().saturating_add(other.len()) > ANSWERS_MAX {
            *self = other;
            return;
        }
        self.names.extend(other.names);
        self.entries.extend(other.entries);
        self.callees.extend(other.callees);
        self.jumps.extend(other.jumps);
        self.functions.extend(other.functions);
        self.symbols.extend(other.symbols);
        self.addresses.extend(other.addresses);
    }
}

/// What is known of one module, and what else is asked of it.
#[derive(Default)]
pub(crate) struct Recall {
    known: Option<Known>,
    asked: RefCell<Questions>,
}

impl Recall {
    /// What `source` knows of a module whose file is at hand. Of one of which it says nothing,
    /// nothing that is asked is noted either.
    pub(crate) fn of(module: &Found, source: &mut dyn ModuleSource) -> Self {
        let has_file = module.image.is_some() && !module.is_of_the_kernel();
        let known = has_file.then(|| source.known(module.wanted()));
        Recall {
            known: known.flatten(),
            asked: RefCell::default(),
        }
    }

    pub(super) fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }

    /// Forgets: the module is one whose answers do not depend on its own files alone.
    pub(super) fn forget(&mut self) {
        *self = Recall::default();
    }

    /// Whether the build was seen before.
    pub(super) fn is_answered(&self) -> bool {
        self.known.as_ref().is_some_and(|known| !known.is_empty())
    }

    /// What was asked, with the addresses whose functions were looked up.
    pub(super) fn questions(&self, functions: BTreeSet<u64>) -> Questions {
        let mut asked = self.asked.borrow().clone();
        if self.known.is_some() {
            asked.functions = functions;
        }
        asked
    }

    pub(super) fn names(&self, at: u64, look_up: impl FnOnce() -> Vec<Name>) -> Vec<Name> {
        self.recalled(|known| &known.names, |asked| &mut asked.names, &at)
            .unwrap_or_else(look_up)
    }

    pub(super) fn entry(&self, at: u64, look_up: impl FnOnce() -> Option<u64>) -> Option<u64> {
        self.recalled(|known| &known.entries, |asked| &mut asked.entries, &at)
            .unwrap_or_else(look_up)
    }

    pub(super) fn callee(
        &self,
        at: u64,
        look_up: impl FnOnce() -> Option<Target>,
    ) -> Option<Target> {
        self.recalled(|known| &known.callees, |asked| &mut asked.callees, &at)
            .unwrap_or_else(look_up)
    }

    pub(super) fn jumps(&self, at: u64, look_up: impl FnOnce() -> Vec<Jump>) -> Vec<Jump> {
        self.recalled(|known| &known.jumps, |asked| &mut asked.jumps, &at)
            .unwrap_or_else(look_up)
    }

    pub(super) fn symbol(
        &self,
        at: u64,
        look_up: impl FnOnce() -> Option<NamedSymbol>,
    ) -> Option<NamedSymbol> {
        self.recalled(|known| &known.symbols, |asked| &mut asked.symbols, &at)
            .unwrap_or_else(look_up)
    }

    pub(super) fn address(
        &self,
        name: &str,
        look_up: impl FnOnce() -> Option<(u64, u64)>,
    ) -> Option<(u64, u64)> {
        if name.len() > NAME_MAX {
            return look_up();
        }
        let name = name.to_owned();
        self.recalled(
            |known| &known.addresses,
            |asked| &mut asked.addresses,
            &name,
        )
        .unwrap_or_else(look_up)
    }

    /// `None` when it is not known; it is noted then.
    fn recalled<K: Ord + Clone, V: Clone>(
        &self,
        answers: impl FnOnce(&Known) -> &BTreeMap<K, V>,
        questions: impl FnOnce(&mut Questions) -> &mut BTreeSet<K>,
        key: &K,
    ) -> Option<V> {
        let known = self.known.as_ref()?;
        if let Some(answer) = answers(known).get(key) {
            return Some(answer.clone());
        }
        let mut asked = self.asked.borrow_mut();
        if asked.len() < ANSWERS_MAX {
            questions(&mut asked).insert(key.clone());
        }
        None
    }
}

/// Answers what was asked of a module, from its file and what `source` has beside it. `None` when
/// the answers would depend on more files than those of this build (split DWARF).
pub fn answer(
    image: &Image,
    path: &str,
    questions: &Questions,
    source: &mut dyn ModuleSource,
) -> Option<Known> {
    let object = image.object()?;
    let files = DebugFiles::of(Some(&object), object.build_id().as_deref(), path, source);
    if files.has_skeletons(Some(&object)) {
        return None;
    }
    let symbols = ModuleSymbols::of(Some(image), &files, None);
    let address = |name: &String| (name.clone(), symbols.address_of(name));
    Some(Known {
        names: each(&questions.names, |at| symbols.find(at)),
        entries: each(&questions.entries, |at| symbols.entry(at)),
        callees: each(&questions.callees, |at| symbols.callee(at)),
        jumps: each(&questions.jumps, |at| symbols.jumps(at)),
        functions: each(&questions.functions, |at| symbols.functions(at)),
        symbols: each(&questions.symbols, |at| symbols.symbol(at)),
        addresses: questions
            .addresses
            .iter()
            .take(ANSWERS_MAX)
            .map(address)
            .collect(),
    })
}

fn each<V>(keys: &BTreeSet<u64>, value: impl Fn(u64) -> V) -> BTreeMap<u64, V> {
    let keys = keys.iter().take(ANSWERS_MAX);
    keys.map(|&key| (key, value(key))).collect()
}

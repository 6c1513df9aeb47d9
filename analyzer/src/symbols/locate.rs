//! Decides which separate debug files to ask for, and verifies what comes.

use super::dwarf::{DebugInfo, LackingUnit};
use super::known::Recall;
use super::split::{self, SplitFiles, has_skeletons};
use crate::describe::{BUILD_ID_MAX, linked_by, program};
use crate::dump::elf::hexadecimal;
use crate::image::{Image, Object};
use crate::modules::{Module, ModuleSource, WantedDebug, WantedUnit};
use crate::space::Space;
use crate::unwind::Stack;
use object::Object as _;
use std::collections::{BTreeMap, BTreeSet};

/// Files of units that are looked for in one module.
const UNIT_FILES_MAX: usize = 512;

/// The files beside a module's own that name its code.
#[derive(Default)]
pub struct DebugFiles {
    /// Its separate debug file.
    pub debug: Option<Image>,
    /// The file that one shares with others (dwz).
    pub shared: Option<Image>,
    /// Files of units whose debug information is elsewhere (`.dwo`, `.dwp`).
    pub split: Vec<Image>,
    /// Where the separate debug file came from, or the first of those.
    pub origin: Option<&'static str>,
    /// What was looked for and not found, by build ID.
    pub wanted: Vec<String>,
}

/// Asks for debug files of the modules that have frames in `used` and no debug information of
/// their own. The result is in the order of `space.modules`.
pub fn locate(space: &Space<'_>, used: &[bool], source: &mut dyn ModuleSource) -> Vec<DebugFiles> {
    let locate = |(module, &used): (&Module<'_>, &bool)| {
        if used && !module.found.is_of_the_kernel() {
            let object = module.object.as_ref();
            let own = object.and_then(Object::build_id);
            let build_id = own.or_else(|| module.found.build_id.clone());
            let mut files = DebugFiles::of(object, build_id.as_deref(), &module.found.path, source);
            if let Some(id) = build_id.filter(|_| object.is_none()) {
                files.wanted.push(program(&id));
            }
            files
        } else {
            DebugFiles::default()
        }
    };
    space.modules.iter().zip(used).map(locate).collect()
}

/// Asks for the files of those units that have frames and whose debug information is elsewhere.
/// A module of which something is known has none.
pub(crate) fn locate_units(
    space: &Space<'_>,
    stacks: &[Stack],
    files: &mut [DebugFiles],
    recall: &mut [Recall],
    source: &mut dyn ModuleSource,
) {
    let mut addresses: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
    for frame in stacks.iter().flat_map(|stack| &stack.frames) {
        let address = frame.address.lookup();
        if let Some(index) = space.module_index(address) {
            let own = address.wrapping_sub(space.modules[index].bias);
            addresses.entry(index).or_default().insert(own);
        }
    }
    for (index, addresses) in addresses {
        let of_module = (
            space.modules.get(index),
            files.get_mut(index),
            recall.get_mut(index),
        );
        let (Some(module), Some(files), Some(recall)) = of_module else {
            continue;
        };
        if recall.is_answered() {
            continue;
        }
        for unit in files.lacking_units(module, &addresses) {
            recall.forget();
            files.get_unit(&module.found.path, &unit, source);
        }
    }
}

impl DebugFiles {
    /// Whether units have their information elsewhere.
    pub(super) fn has_skeletons(&self, own: Option<&Object<'_>>) -> bool {
        let separate = self.debug.as_ref().and_then(Image::object);
        with_units(own, separate.as_ref()).is_some_and(has_skeletons)
    }

    fn lacking_units(&self, module: &Module<'_>, addresses: &BTreeSet<u64>) -> Vec<LackingUnit> {
        let separate = self.debug.as_ref().and_then(Image::object);
        let object = with_units(module.object.as_ref(), separate.as_ref());
        let Some(object) = object.filter(|object| has_skeletons(object)) else {
            return Vec::new();
        };
        let Some(debug) = DebugInfo::of(object, None, SplitFiles::new(&[])) else {
            return Vec::new();
        };
        let mut found: BTreeMap<u64, LackingUnit> = BTreeMap::new();
        for unit in addresses
            .iter()
            .filter_map(|&address| debug.lacking(address))
        {
            if found.len() < UNIT_FILES_MAX {
                found.insert(unit.id, unit);
            }
        }
        found.into_values().collect()
    }

    fn get_unit(&mut self, module: &str, unit: &LackingUnit, source: &mut dyn ModuleSource) {
        let has = |image: &Image| {
            let ids = image.object().map(|object| split::unit_ids(&object));
            ids.is_some_and(|ids| ids.binary_search(&unit.id).is_ok())
        };
        // A package has many.
        if self.split.iter().any(has) {
            return;
        }
        let wanted = WantedUnit {
            module,
            id: unit.id,
            directory: unit.directory.as_deref(),
            name: unit.name.as_deref(),
        };
        for offer in source.unit_files(wanted) {
            let image = Image::new(offer.bytes);
            if has(&image) {
                self.split.push(image);
                self.origin.get_or_insert(offer.origin);
                return;
            }
        }
        self.wanted.push(split::key(unit.id));
    }
}

impl DebugFiles {
    /// Asks for the debug files of a module; of one whose own file is missing too, since its build
    /// ID is in the process's memory.
    pub(super) fn of(
        object: Option<&Object<'_>>,
        build_id: Option<&str>,
        path: &str,
        source: &mut dyn ModuleSource,
    ) -> DebugFiles {
        if let Some(object) = object.filter(|object| object.has(".debug_info")) {
            let mut files = DebugFiles::default();
            files.share(object, source);
            return files;
        }
        let link = object.and_then(|object| object.file.gnu_debuglink().ok()?);
        let link = link.and_then(|(name, crc)| Some((std::str::from_utf8(name).ok()?, crc)));
        let wanted = WantedDebug {
            module: path,
            build_id,
            link,
        };
        let offer = source.debug_file(wanted);
        let from = offer.as_ref().map(|offer| offer.origin);
        let debug = offer.map(|offer| Image::new(offer.bytes));
        let debug = debug.filter(|image| {
            image
                .object()
                .is_some_and(|found| match (build_id, found.build_id()) {
                    (Some(own), Some(found)) => own == found,
                    // The source checked the debug link's CRC.
                    _ => link.is_some(),
                })
        });
        let mut files = DebugFiles {
            origin: from.filter(|_| debug.is_some()),
            ..DebugFiles::default()
        };
        match debug.as_ref().and_then(Image::object) {
            Some(object) if object.has(".debug_info") => files.share(&object, source),
            _ => {
                let linked = || link.map(|(_, crc)| linked_by(crc));
                let own = build_id.map(str::to_owned);
                files.wanted.extend(own.or_else(linked));
            }
        }
        files.debug = debug;
        files
    }

    /// Gets what the debug information of a file shares with others.
    fn share(&mut self, object: &Object<'_>, source: &mut dyn ModuleSource) {
        let Ok(Some((path, id))) = object.file.gnu_debugaltlink() else {
            return;
        };
        if id.len() > BUILD_ID_MAX {
            return;
        }
        let id = hexadecimal(id);
        self.shared = shared(path, &id, source);
        if self.shared.is_none() {
            self.wanted.push(id);
        }
    }
}

/// The file that has debug information.
fn with_units<'o, 'a>(
    own: Option<&'o Object<'a>>,
    separate: Option<&'o Object<'a>>,
) -> Option<&'o Object<'a>> {
    let files = [own, separate];
    files.into_iter().flatten().find(|it| it.has(".debug_info"))
}

fn shared(path: &[u8], id: &str, source: &mut dyn ModuleSource) -> Option<Image> {
    let offer = source.shared_debug_file(std::str::from_utf8(path).ok()?, id)?;
    let image = Image::new(offer.bytes);
    let is_it = image.object()?.build_id().is_some_and(|found| found == id);
    is_it.then_some(image)
}

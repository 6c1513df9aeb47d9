//! The files that the daemon handed over as open descriptors: the only ones the worker sees.

use aground_analyzer::describe::{linked_by, program};
use aground_analyzer::image::Image;
use aground_analyzer::manifest::{Manifest, ModuleFile};
use aground_analyzer::mapped::Bytes;
use aground_analyzer::modules::{ModuleSource, Offer, Wanted, WantedDebug, WantedUnit};
use aground_analyzer::symbols::known::{self, Known};
use aground_analyzer::symbols::split;
use std::collections::BTreeMap;
use std::io;

/// The module files of a manifest, mapped.
pub struct Handed {
    modules: Vec<Captured>,
    debug_files: BTreeMap<String, Offer>,
    mapped_bytes: u64,
}

struct Captured {
    path: String,
    base: u64,
    end: u64,
    build_id: Option<String>,
    bytes: Option<Bytes>,
    is_remembered: bool,
    known: Option<Bytes>,
}

impl Handed {
    /// Knows the modules of a manifest; [`Handed::map_modules`] maps them.
    pub fn new(manifest: &Manifest) -> Self {
        Handed {
            modules: Vec::with_capacity(manifest.modules.len()),
            debug_files: BTreeMap::new(),
            mapped_bytes: 0,
        }
    }

    /// Maps one descriptor.
    pub fn map(&mut self, descriptor: i32) -> io::Result<Bytes> {
        let bytes = Bytes::of_descriptor(descriptor)?;
        self.mapped_bytes = self.mapped_bytes.saturating_add(bytes.len() as u64);
        Ok(bytes)
    }

    fn separate(&self, build_id: &str) -> Option<Offer> {
        self.debug_files.get(build_id).cloned()
    }

    /// Maps all modules and debug files; one that cannot be mapped counts as missing.
    pub fn map_modules(&mut self, manifest: &Manifest) {
        for module in &manifest.modules {
            let bytes = module.fd.and_then(|fd| self.map(fd).ok());
            let known = module.known_fd.and_then(|fd| self.map(fd).ok());
            self.modules.push(Captured {
                path: module.path.clone(),
                base: module.base,
                end: module.end,
                build_id: module.build_id.clone(),
                bytes,
                is_remembered: module.is_remembered,
                known,
            });
        }
        for file in &manifest.debug_files {
            if let Ok(bytes) = self.map(file.fd) {
                let origin = file.source.as_str();
                let offer = Offer { bytes, origin };
                self.debug_files.insert(file.build_id.clone(), offer);
            }
        }
    }

    /// Answers what was asked of the modules, in the manifest's order; `None` of those of which
    /// nothing was.
    pub fn answer(&mut self, manifest: &Manifest) -> Vec<Option<Known>> {
        let mut answer = |(index, module): (usize, &ModuleFile)| {
            let questions = module.questions.as_ref()?;
            let image = Image::new(self.modules.get(index)?.bytes.clone()?);
            known::answer(&image, &module.path, questions, self)
        };
        manifest
            .modules
            .iter()
            .enumerate()
            .map(&mut answer)
            .collect()
    }

    /// Sizes of all mapped files together.
    pub fn mapped_bytes(&self) -> u64 {
        self.mapped_bytes
    }
}

impl ModuleSource for Handed {
    /// A module is taken by its place in memory, which is certain; else by its build ID, else by
    /// its path; one that was not captured may be among the files of symbols.
    fn images(&mut self, wanted: Wanted<'_>) -> Vec<Offer> {
        let at_place = |module: &Captured| (module.base..module.end).contains(&wanted.base);
        let same_id = |module: &Captured| {
            wanted.build_id.is_some() && module.build_id.as_deref() == wanted.build_id
        };
        let same_path = |module: &Captured| module.path == wanted.path;
        let tests: [&dyn Fn(&Captured) -> bool; 3] = [&at_place, &same_id, &same_path];
        let take = |test: &&dyn Fn(&Captured) -> bool| {
            let module = self
                .modules
                .iter()
                .find(|module| module.bytes.is_some() && test(module))?;
            Some(Offer {
                bytes: module.bytes.clone()?,
                origin: "captured",
            })
        };
        let uploaded = || self.separate(&program(wanted.build_id?));
        let found = tests.iter().find_map(take).or_else(uploaded);
        found.into_iter().collect()
    }

    fn known(&mut self, wanted: Wanted<'_>) -> Option<Known> {
        let at_place = |module: &&Captured| (module.base..module.end).contains(&wanted.base);
        let module = self.modules.iter().find(at_place)?;
        let known = module
            .known
            .as_ref()
            .map(|bytes| serde_json::from_slice(bytes));
        module
            .is_remembered
            .then(|| known.and_then(Result::ok).unwrap_or_default())
    }

    fn debug_file(&mut self, wanted: WantedDebug<'_>) -> Option<Offer> {
        let by_id = wanted.build_id.and_then(|id| self.separate(id));
        let linked = || {
            let (_, crc) = wanted.link?;
            let offer = self.separate(&linked_by(crc))?;
            (crc32fast::hash(&offer.bytes) == crc).then_some(offer)
        };
        by_id.or_else(linked)
    }

    fn unit_files(&mut self, wanted: WantedUnit<'_>) -> Vec<Offer> {
        self.separate(&split::key(wanted.id)).into_iter().collect()
    }

    fn shared_debug_file(&mut self, _path: &str, build_id: &str) -> Option<Offer> {
        self.separate(build_id)
    }
}

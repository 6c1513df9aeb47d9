//! The modules of a dump: what the helper captured and what analysis made of it, in one table.

use super::bytes;
use super::text::{base_name, clip};
use aground_analyzer::report::{Module, Report};
use aground_store::types::Dump;
use std::collections::BTreeSet;

/// Modules without symbols that are listed.
const MISSING_SHOWN: usize = 20;

/// One module.
#[derive(Clone, Debug, Default)]
pub struct ModuleRow {
    /// File name.
    pub name: String,
    /// Path inside the container.
    pub path: String,
    /// Build ID.
    pub build_id: Option<String>,
    /// `0x400000 – 0x405000`.
    pub range: String,
    /// Where its bytes came from.
    pub image: Option<String>,
    /// What symbols it has.
    pub debug: Option<String>,
    /// Whether that is more than none.
    pub has_symbols: bool,
    /// What is wrong with it.
    pub problem: Option<String>,
    /// SHA-256, when the file was kept.
    pub sha256: Option<String>,
    /// Size of the file.
    pub size: Option<String>,
}

/// All modules of a dump in order of address: those of the report, else those of the record.
pub fn modules(dump: &Dump) -> Vec<ModuleRow> {
    let gone = dump.summary.dropped.is_some() && dump.summary.kept == "none";
    let captured = |base: u64| dump.record.modules.iter().find(|m| m.base == base);
    let from_record = |module| from_record(module, gone);
    let Some(report) = &dump.report else {
        return dump.record.modules.iter().map(from_record).collect();
    };
    report
        .modules
        .iter()
        .map(|module| {
            let file = captured(module.base.0).map(from_record).unwrap_or_default();
            ModuleRow {
                name: clip(base_name(&module.path), 80),
                path: clip(&module.path, 1000),
                build_id: module.build_id.clone().or(file.build_id),
                range: format!("{}–{}", module.base, module.end),
                image: Some(module.image.clone()),
                debug: Some(symbols(module)),
                has_symbols: module.debug != "none",
                problem: module.problem.clone().or(file.problem),
                ..file
            }
        })
        .collect()
}

fn symbols(module: &Module) -> String {
    match module.debug_from.as_deref() {
        Some(from) => format!("{}, {from}", module.debug),
        None => module.debug.clone(),
    }
}

/// Which analysis a report is, and whose symbols made it better; `None` for the first.
pub fn revision(report: &Report) -> Option<String> {
    let uploaded = symbols_from(report, "uploaded");
    let fetched = symbols_from(report, "debuginfod");
    let uploaded = uploaded.map(|of| format!(", with uploaded symbols of {of}"));
    let fetched = fetched.map(|of| format!(", with symbols from debuginfod of {of}"));
    let captured = symbols_from(report, "captured");
    let captured = captured.map(|of| format!(", with the container's own symbols of {of}"));
    let with: String = [uploaded, fetched, captured]
        .into_iter()
        .flatten()
        .collect();
    (report.revision > 1 || !with.is_empty())
        .then(|| format!("analysis {}{with}", report.revision.max(1)))
}

/// The modules whose symbols came from there: their names, or how many.
fn symbols_from(report: &Report, source: &str) -> Option<String> {
    let modules = report.modules.iter();
    let from_there = modules.filter(|module| module.debug_from.as_deref() == Some(source));
    let names: Vec<String> = from_there
        .map(|module| clip(base_name(&module.path), 80))
        .collect();
    match names.len() {
        0 => None,
        1..=3 => Some(names.join(", ")),
        count => Some(format!("{count} modules")),
    }
}

/// Modules that have frames without lines for want of debug information, by name and build ID.
pub fn without_symbols(report: &Report) -> Vec<(String, String)> {
    let frames = report.threads.iter().flat_map(|thread| &thread.frames);
    let nameless: BTreeSet<&str> = frames
        .filter(|frame| frame.line.is_none())
        .filter_map(|frame| frame.module.as_deref())
        .collect();
    let missing = |module: &&Module| module.debug != "dwarf" && nameless.contains(&*module.path);
    let modules = report.modules.iter().filter(missing);
    let named = |module: &Module| {
        let build_id = module.build_id.clone()?;
        Some((clip(base_name(&module.path), 80), build_id))
    };
    modules.filter_map(named).take(MISSING_SHOWN).collect()
}

/// `gone`: the file went with the memory.
fn from_record(module: &aground_helper::record::Module, gone: bool) -> ModuleRow {
    let missing = module.missing.as_deref();
    ModuleRow {
        name: clip(base_name(&module.path), 80),
        path: clip(&module.path, 1000),
        build_id: module.build_id.clone(),
        range: format!("{:#x}–{:#x}", module.base, module.end),
        image: None,
        debug: None,
        has_symbols: false,
        problem: missing.map(|why| clip(why, 300)),
        sha256: module.sha256.clone().filter(|_| missing.is_none() && !gone),
        size: module.size.map(bytes::size),
    }
}

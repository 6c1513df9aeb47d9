//! The report's stacks of managed languages: those that a run time keeps, rather than the kernel.

use super::goroutines::{self, Goroutine};
use crate::dump::elf::number;
use crate::modules::Module;
use crate::report::{Runtime, Thread};
use crate::space::Space;
use crate::symbols::Symbols;
use crate::threads;
use crate::unwind::{Stack, Unwinder};

/// A longer version is none.
const VERSION_MAX: usize = 100;

/// The run times found, and a sentence about what was left out.
pub(crate) fn managed(
    space: &Space<'_>,
    symbols: &mut Symbols<'_, '_>,
    stacks: &[Stack],
) -> (Vec<Runtime>, Option<String>) {
    let is_go = |module: &&Module<'_>| {
        let has = |name: &str| {
            module
                .object
                .as_ref()
                .is_some_and(|object| object.has(name))
        };
        module.found.is_executable && (has(".gopclntab") || has(".data.rel.ro.gopclntab"))
    };
    let program = space.modules.iter().find(is_go);
    let Some(program) = program.filter(|_| space.core.arch.name == "x86_64") else {
        return (Vec::new(), None);
    };
    let symbol = symbols.by_name(program.found.file_name(), "runtime.allgs");
    let symbol = symbol.map(|(address, _)| address);
    let mut unwinder = Unwinder::new(space);
    let listed = goroutines::list(space, program, &mut unwinder, stacks, symbol);
    let Some((listed, left_out)) = listed else {
        let sentence = "The list of goroutines was not found: only those on threads are shown.";
        return (Vec::new(), Some(sentence.to_owned()));
    };
    let mut thread = |goroutine: &Goroutine| Thread {
        tid: i32::try_from(goroutine.id).unwrap_or(i32::MAX),
        name: Some(goroutine.status.as_str().to_owned()),
        frames: threads::named(space, symbols, &goroutine.stack),
        incomplete: goroutine.stack.incomplete.clone(),
        ..Thread::default()
    };
    let runtime = Runtime {
        language: "go".to_owned(),
        version: version(program),
        threads: listed.iter().map(&mut thread).collect(),
    };
    let sentence = (left_out > 0).then(|| {
        let (listed, all) = (listed.len(), listed.len() + left_out);
        format!("Of {all} goroutines only the {listed} with the lowest numbers are listed.")
    });
    (vec![runtime], sentence)
}

/// What `go version` says of the file: a string behind a header of 32 bytes, since Go 1.18
/// (`src/debug/buildinfo/buildinfo.go`).
fn version(program: &Module<'_>) -> Option<String> {
    const INLINE: u64 = 2;
    let section = program.object.as_ref()?.section(".go.buildinfo")?;
    let data = section.data;
    if !data.starts_with(b"\xff Go buildinf:") || number(data, 15, 1) & INLINE == 0 {
        return None;
    }
    let length = usize::from(*data.get(32)?);
    let text = data.get(33..33 + length.min(VERSION_MAX))?;
    String::from_utf8(text.to_vec()).ok()
}

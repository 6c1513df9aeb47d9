//! Has the questions of analyses answered that nobody had answered before, and keeps the answers
//! for the next crash of the same build.
//!
//! The worker that read a core cannot be trusted with what the crashes of others will show: one
//! that never saw it reads the modules' files and answers.

use super::conversation::{self, Limits};
use super::{Failed, Task, WorkerError, debug_files, manifest, module_file, open_module};
use crate::daemon::{Inner, blocking, chain};
use aground_analyzer::analyze::Asked;
use aground_analyzer::manifest::{Manifest, ModuleFile};
use aground_analyzer::symbols::known::Known;
use aground_helper::id::DumpId;
use aground_helper::record::Module;
use aground_store::{Store, StoreError};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::sync::Arc;

/// Changes when the same files would get other answers.
const VERSION: u32 = 1;

/// A file of debug information and what tells it from others of its build ID.
pub(super) struct Identified {
    pub(super) build_id: String,
    pub(super) identity: String,
}

/// Under what the answers about a module's code are kept: they depend on its file and on the debug
/// files that belong to it, or to no module and so maybe to any.
pub(super) fn key(module: &Module, all: &[Module], debug_files: &[Identified]) -> Option<String> {
    let of_modules: HashSet<&str> = all.iter().filter_map(|it| it.build_id.as_deref()).collect();
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    };
    add(&VERSION.to_string());
    add(module.sha256.as_deref()?);
    for file in debug_files {
        let is_own = Some(&file.build_id) == module.build_id.as_ref();
        if is_own || !of_modules.contains(file.build_id.as_str()) {
            add(&file.build_id);
            add(&file.identity);
        }
    }
    Some(format!("{:x}", hash.finalize()))
}

/// Has questions answered and keeps the answers. Nothing depends on it: a failure is only logged.
pub(crate) async fn remember(daemon: &Arc<Inner>, id: &DumpId, asked: Vec<Asked>) {
    let answered = tokio::select! {
        () = daemon.stopped() => return,
        answered = answer(daemon, id, asked) => answered,
    };
    if let Err(Failed { error, .. }) = answered {
        tracing::debug!(dump = %id, error = chain(&error), "names were not kept for later");
    }
}

async fn answer(daemon: &Arc<Inner>, id: &DumpId, asked: Vec<Asked>) -> Result<(), Failed> {
    let (store, dump) = (daemon.store.clone(), id.clone());
    let program = super::program(daemon).map_err(WorkerError::Start)?;
    let prepared = blocking("prepare answers", move || prepare(&store, &dump, asked));
    let (task, keys) = prepared.await.unwrap_or(Err(WorkerError::Stopped))?;
    let child = super::start(daemon, &program, "names", task.files).map_err(WorkerError::Start)?;
    let limits = Limits::of(daemon);
    let answers: Vec<Option<Known>> = conversation::hold(child, &task.manifest, limits).await?;
    let store = daemon.store.clone();
    let keep = blocking("keep names", move || {
        let answers = keys.into_iter().zip(answers);
        for (key, known) in answers.filter_map(|(key, known)| Some((key, known?))) {
            keep(&store, &key, known)?;
        }
        Ok::<(), WorkerError>(())
    });
    keep.await.unwrap_or(Err(WorkerError::Stopped))?;
    Ok(())
}

fn keep(store: &Store, key: &str, new: Known) -> Result<(), StoreError> {
    let file = store.names(key)?;
    let old = file.and_then(|file| serde_json::from_reader(std::io::BufReader::new(file)).ok());
    let mut known: Known = old.unwrap_or_default();
    known.add(new);
    match serde_json::to_vec(&known) {
        Ok(json) => store.keep_names(key, &json),
        Err(_) => Ok(()),
    }
}

/// The worker's task, and under what the answer about each of its modules is kept.
fn prepare(
    store: &Store,
    id: &DumpId,
    asked: Vec<Asked>,
) -> Result<(Task, Vec<String>), WorkerError> {
    let record = store.record(id)?;
    let (mut files, mut keys, mut modules) = (vec![], vec![], vec![]);
    let mut wanted: Vec<(&Module, Asked)> = vec![];
    for asked in asked {
        if let Some(module) = record.modules.iter().find(|it| it.base == asked.base) {
            wanted.push((module, asked));
        }
    }
    let (debug_files, identified) =
        debug_files(store, &record, store.wanted_symbols(id)?, &mut files)?;
    for (module, asked) in wanted {
        let (Some(sha256), Some(key)) = (
            module.sha256.as_deref(),
            key(module, &record.modules, &identified),
        ) else {
            continue;
        };
        let fd = open_module(store, sha256, &mut files)?;
        modules.push(ModuleFile {
            questions: Some(asked.questions),
            ..module_file(module, fd)
        });
        keys.push(key);
    }
    let manifest = Manifest {
        debug_files,
        ..manifest(&record, None, modules)
    };
    Ok((Task::new(&manifest, files)?, keys))
}

#[cfg(test)]
mod tests {
    use super::{Identified, key};
    use aground_helper::record::Module;

    fn module(sha256: &str, build_id: &str) -> Module {
        Module {
            path: "/lib".to_owned(),
            base: 0,
            end: 0,
            build_id: Some(build_id.to_owned()),
            sha256: Some(sha256.to_owned()),
            size: None,
            missing: None,
        }
    }

    fn file(build_id: &str, identity: &str) -> Identified {
        Identified {
            build_id: build_id.to_owned(),
            identity: identity.to_owned(),
        }
    }

    #[test]
    fn answers_belong_to_a_module_and_what_describes_it() {
        let modules = [module("a", "1"), module("b", "2")];
        let of = |files: &[Identified]| key(&modules[0], &modules, files);
        let bare = of(&[]);
        assert!(bare.is_some());
        assert_eq!(of(&[file("2", "another module's")]), bare);
        let own = of(&[file("1", "uploaded")]);
        assert_ne!(own, bare);
        assert_ne!(of(&[file("1", "uploaded again")]), own);
        assert_ne!(of(&[file("3", "shared")]), bare);
        assert_ne!(key(&modules[1], &modules, &[]), bare);
        let unknown = Module {
            sha256: None,
            ..modules[0].clone()
        };
        assert_eq!(key(&unknown, &modules, &[]), None);
    }
}

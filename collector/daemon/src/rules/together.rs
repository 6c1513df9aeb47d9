//! Applies rules and scripts to dumps that came together, with one worker for their scripts.

use super::{RuleSet, apply_rules, keep, script, task};
use crate::daemon::{Inner, blocking};
use crate::worker;
use aground_analyzer::script::{Answer, Task};
use aground_helper::id::DumpId;
use std::sync::Arc;

/// Dumps that the same scripts look at.
struct Alike {
    dumps: Vec<DumpId>,
    task: Task,
}

/// Applies everything to dumps that have reports and groups now: scripts first, so that rules can
/// ask for what they found.
pub(crate) async fn apply_all(daemon: &Arc<Inner>, dumps: Vec<(DumpId, String)>) {
    let (inner, ids) = (Arc::clone(daemon), dumps.clone());
    let prepared = blocking("prepare scripts", move || {
        let set = inner.rules();
        let tasks = prepare(&inner, &set, ids.into_iter().map(|(id, _)| id));
        (set, tasks)
    });
    let Some((set, tasks)) = prepared.await else {
        return;
    };
    for Alike { dumps, task } in tasks {
        let answers = tokio::select! {
            () = daemon.stopped() => return,
            answers = run(daemon, &task) => answers,
        };
        for (number, dump) in dumps.iter().enumerate() {
            match &answers {
                Some(answers) => {
                    let own = answers.iter().filter(|answer| answer.dump == number);
                    keep(daemon, dump, own.cloned().collect()).await;
                }
                // One of them was too much: which one shows when each is alone.
                None => script(daemon, &set, dump).await,
            }
        }
    }
    let inner = Arc::clone(daemon);
    let apply = move || {
        for (id, group) in &dumps {
            apply_rules(&inner, &set, id, group);
        }
    };
    blocking("apply rules", apply).await;
}

async fn run(daemon: &Arc<Inner>, task: &Task) -> Option<Vec<Answer>> {
    let json = serde_json::to_vec(task).ok()?;
    worker::run_scripts(daemon, &json).await.ok()
}

fn prepare(daemon: &Inner, set: &RuleSet, dumps: impl Iterator<Item = DumpId>) -> Vec<Alike> {
    let mut found: Vec<Alike> = vec![];
    for id in dumps {
        // What is gone needs no properties.
        let Ok(Some(task)) = task(&daemon.store, set, &id, None) else {
            continue;
        };
        let known = found
            .iter_mut()
            .find(|alike| alike.task.scripts == task.scripts);
        match known {
            Some(alike) => {
                alike.task.more.push(task.dump);
                alike.dumps.push(id);
            }
            None => found.push(Alike {
                dumps: vec![id],
                task,
            }),
        }
    }
    found
}

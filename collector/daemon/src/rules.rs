//! Applies rules for known bugs and runs scripts, on new dumps and, when asked, over history.
//!
//! A rule says each thing of a group once: what somebody took back does not come again with the
//! next crash. Scripts run in a worker of their own, in its sandbox, and say properties of dumps.
//! Nothing that goes wrong here stops a dump.

pub(crate) mod again;
pub(crate) mod load;
mod together;

use crate::daemon::{Daemon, Inner, blocking, chain};
use crate::worker;
use aground_analyzer::script::{Answer, Mistake, Task};
use aground_helper::id::DumpId;
use aground_store::lifecycle::{Actor, Change, State, Until};
use aground_store::properties::Property;
use aground_store::store::Histogram;
use aground_store::types::PageRequest;
use aground_store::{Query, Store, StoreError};
use load::{LoadedRule, Problem, Rule, RuleSet, RuleState};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
pub(crate) use together::apply_all;

/// How often the files are looked at again.
const FRESH: Duration = Duration::from_secs(10);
/// The most groups a rule changes in one run over history.
const MOST_GROUPS: usize = 100_000;

/// What is said of a mistake that ended the worker, so that no script can be named.
const TOGETHER: &str = "(all scripts)";

/// Rules as they were read last, and the mistakes scripts made since the start.
#[derive(Default)]
pub(crate) struct Rules {
    set: Mutex<Option<(Instant, Arc<RuleSet>)>>,
    mistakes: Mutex<BTreeMap<String, ScriptMistake>>,
}

/// The last mistake that a script made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptMistake {
    /// On which dump.
    pub dump: String,
    /// What went wrong, and where.
    pub mistake: Mistake,
    /// How often one was made since the start.
    pub count: u64,
}

/// A rule or script as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleStatus {
    /// Its name.
    pub name: String,
    /// `rule` or `script`.
    pub kind: String,
    /// Where it is: a file, or `shipped`.
    pub place: String,
    /// Which dumps it is about; empty: all.
    pub query: String,
    /// What it does, in words.
    pub does: String,
    /// The last mistake it made, of scripts.
    pub mistake: Option<ScriptMistake>,
}

/// All rules and scripts, and what could not be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesStatus {
    /// In the order in which they act.
    pub rules: Vec<RuleStatus>,
    /// What is wrong with files.
    pub problems: Vec<Problem>,
}

/// What a run over history is to look at.
#[derive(Clone, Debug, Default)]
pub struct RulesRun {
    /// Only dumps that match.
    pub query: Query,
    /// Only this rule or script.
    pub only: Option<String>,
    /// Whether to say what would change, and change nothing.
    pub dry: bool,
    /// The most dumps that scripts look at, newest first.
    pub scripted: usize,
}

/// What a run over history did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesOutcome {
    /// Whether nothing was changed.
    pub dry: bool,
    /// Changes of groups.
    pub changes: Vec<RuleChange>,
    /// Dumps that scripts looked at.
    pub scripted: u64,
    /// How many dumps have each `script: key=value`.
    pub properties: BTreeMap<String, u64>,
    /// Mistakes of scripts, and of groups that could not be changed.
    pub mistakes: Vec<String>,
}

/// A change that a rule makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleChange {
    /// The rule.
    pub rule: String,
    /// The group.
    pub group: String,
    /// What.
    pub change: Change,
}

impl Inner {
    /// The rules as their files say; looked at again now and then. Blocks on disk.
    fn rules(&self) -> Arc<RuleSet> {
        let mut cached = self
            .rules
            .set
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((_, set)) = cached.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Arc::clone(set);
        }
        let config = &self.config.rules;
        let set = Arc::new(RuleSet::load(config.shipped, config.directory.as_deref()));
        if let Some((_, before)) = cached.as_ref()
            && before.problems != set.problems
        {
            for problem in &set.problems {
                tracing::warn!(
                    place = problem.place,
                    line = problem.line,
                    why = problem.message,
                    "a rule cannot be used"
                );
            }
        }
        *cached = Some((Instant::now(), Arc::clone(&set)));
        set
    }

    fn note_mistake(&self, script: &str, dump: &DumpId, mistake: Mistake) {
        let mut mistakes = self
            .rules
            .mistakes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = mistakes.get(script).map_or(0, |known| known.count);
        if count == 0 {
            tracing::warn!(script, %dump, line = mistake.line, why = mistake.message, "a script made a mistake");
        }
        let known = ScriptMistake {
            dump: dump.to_string(),
            mistake,
            count: count.saturating_add(1),
        };
        mistakes.insert(script.to_owned(), known);
    }
}

/// Applies everything to a dump that has a report now: scripts first, so that rules can ask for
/// what they found.
pub(crate) async fn apply(daemon: &Arc<Inner>, dump: &DumpId, group: &str) {
    let inner = Arc::clone(daemon);
    let Some(set) = blocking("read rules", move || inner.rules()).await else {
        return;
    };
    script(daemon, &set, dump).await;
    let (inner, id, group) = (Arc::clone(daemon), dump.clone(), group.to_owned());
    blocking("apply rules", move || {
        apply_rules(&inner, &set, &id, &group);
    })
    .await;
}

/// Runs scripts on a dump and keeps what they say.
async fn script(daemon: &Arc<Inner>, set: &Arc<RuleSet>, dump: &DumpId) {
    match run_scripts(daemon, set, dump, None).await {
        Ok(Some(answers)) => keep(daemon, dump, answers).await,
        Ok(None) => {}
        Err(why) => {
            let mistake = Mistake {
                message: why,
                ..Mistake::default()
            };
            daemon.note_mistake(TOGETHER, dump, mistake);
        }
    }
}

fn apply_rules(daemon: &Inner, set: &RuleSet, id: &DumpId, group: &str) {
    for loaded in &set.rules {
        if let Err(error) = apply_rule(&daemon.store, loaded, id, group) {
            tracing::warn!(rule = loaded.rule.name, dump = %id, error = chain(&error), "a rule could not be applied");
        }
    }
}

fn apply_rule(
    store: &Store,
    loaded: &LoadedRule,
    dump: &DumpId,
    group: &str,
) -> Result<(), StoreError> {
    if store.dump_matches(&loaded.query, dump)? {
        for change in pending(store, &loaded.rule, group)? {
            store.change_group(&actor(&loaded.rule.name), group, change)?;
        }
    }
    Ok(())
}

fn actor(rule: &str) -> Actor {
    Actor {
        uid: None,
        name: rule.to_owned(),
        via: "rule".to_owned(),
    }
}

/// What a rule has to say of a group that it did not say before, and that is not so already.
fn pending(store: &Store, rule: &Rule, group: &str) -> Result<Vec<Change>, StoreError> {
    let wanted = changes(rule);
    let by = actor(&rule.name);
    let history = store.group_history(group)?;
    let said = |change: &Change| {
        let mut own = history.iter().filter(|entry| entry.by == by);
        own.any(|entry| entry.change == *change)
    };
    let life = store.life(group)?;
    let new = |change: &Change| match change {
        Change::Tag { tag } => !life.tags.contains(tag),
        Change::Ticket { ticket } => !life.tickets.contains(ticket),
        Change::Owner { .. } => life.owner.is_none(),
        Change::Ignore { .. } | Change::Resolve { .. } => life.state == State::Open,
        _ => true,
    };
    Ok(wanted
        .into_iter()
        .filter(|change| !said(change) && new(change))
        .collect())
}

fn changes(rule: &Rule) -> Vec<Change> {
    let tags = rule.tag.iter().map(|tag| Change::Tag { tag: tag.clone() });
    let tickets = rule.ticket.iter().map(|ticket| Change::Ticket {
        ticket: ticket.clone(),
    });
    let owner = rule.owner.iter().map(|owner| Change::Owner {
        owner: Some(owner.clone()),
    });
    let note = rule.note.iter().map(|text| Change::Note {
        text: text.trim().to_owned(),
    });
    let state = rule.state.iter().map(|state| match state {
        RuleState::Ignored => Change::Ignore {
            until: Until::Reopened,
        },
        RuleState::Resolved => Change::Resolve { image: None },
    });
    tags.chain(tickets)
        .chain(owner)
        .chain(note)
        .chain(state)
        .collect()
}

/// Runs the scripts that look at a dump. `None`: none does, or there is no whole report of it.
async fn run_scripts(
    daemon: &Arc<Inner>,
    set: &Arc<RuleSet>,
    dump: &DumpId,
    only: Option<&str>,
) -> Result<Option<Vec<Answer>>, String> {
    let (store, set, id) = (daemon.store.clone(), Arc::clone(set), dump.clone());
    let only = only.map(str::to_owned);
    let prepared = blocking("prepare scripts", move || {
        task(&store, &set, &id, only.as_deref())
    });
    let task = match prepared.await {
        Some(Ok(Some(task))) => serde_json::to_vec(&task).map_err(|error| error.to_string())?,
        Some(Ok(None) | Err(StoreError::NotFound(_))) | None => return Ok(None),
        Some(Err(error)) => return Err(chain(&error)),
    };
    let answers = tokio::select! {
        () = daemon.stopped() => return Ok(None),
        answers = worker::run_scripts(daemon, &task) => answers,
    };
    answers.map(Some).map_err(|error| chain(&error))
}

fn task(
    store: &Store,
    set: &RuleSet,
    id: &DumpId,
    only: Option<&str>,
) -> Result<Option<Task>, StoreError> {
    let mut scripts = vec![];
    for loaded in &set.scripts {
        let asked = only.is_none_or(|name| name == loaded.script.name);
        let looks = match &loaded.query {
            Some(query) => asked && store.dump_matches(query, id)?,
            None => asked,
        };
        if looks {
            scripts.push(loaded.script.clone());
        }
    }
    if scripts.is_empty() {
        return Ok(None);
    }
    let whole = store.dump(id)?;
    // Where a worker just failed another may fail too; a crash of it would be a dump with scripts
    // of its own, for ever.
    if whole.summary.analysis_error.is_some() {
        return Ok(None);
    }
    Ok(Some(Task {
        scripts,
        dump: serde_json::json!({ "record": whole.record, "report": whole.report }),
        more: vec![],
    }))
}

/// Keeps what scripts said of a dump.
async fn keep(daemon: &Arc<Inner>, dump: &DumpId, answers: Vec<Answer>) {
    let mut properties = vec![];
    for answer in answers {
        if let Some(mistake) = answer.error {
            daemon.note_mistake(&answer.script, dump, mistake);
        }
        let found = answer.properties.into_iter().map(|(key, value)| Property {
            key,
            value,
            script: answer.script.clone(),
        });
        properties.extend(found);
    }
    let (store, id) = (daemon.store.clone(), dump.clone());
    let kept = blocking("keep properties", move || {
        store.replace_properties(&id, &properties)
    });
    match kept.await {
        Some(Err(StoreError::NotFound(_)) | Ok(())) | None => {}
        Some(Err(error)) => {
            tracing::warn!(%dump, error = chain(&error), "could not keep what scripts found");
        }
    }
}

impl Daemon {
    /// Every rule and script. Blocks on disk.
    pub fn rules(&self) -> RulesStatus {
        let set = self.inner.rules();
        let mistakes = self
            .inner
            .rules
            .mistakes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let rules = set.rules.iter().map(|loaded| RuleStatus {
            name: loaded.rule.name.clone(),
            kind: "rule".to_owned(),
            place: loaded.place.clone(),
            query: loaded.rule.query.clone(),
            does: does(&loaded.rule),
            mistake: None,
        });
        let scripts = set.scripts.iter().map(|loaded| RuleStatus {
            name: loaded.script.name.clone(),
            kind: "script".to_owned(),
            place: loaded.place.clone(),
            query: String::new(),
            does: "says properties".to_owned(),
            mistake: mistakes.get(&loaded.script.name).cloned(),
        });
        let together = mistakes.get(TOGETHER).map(|mistake| RuleStatus {
            name: TOGETHER.to_owned(),
            kind: "script".to_owned(),
            place: String::new(),
            query: String::new(),
            does: "what ended their worker, so that none can be named".to_owned(),
            mistake: Some(mistake.clone()),
        });
        RulesStatus {
            rules: rules.chain(scripts).chain(together).collect(),
            problems: set.problems.clone(),
        }
    }

    /// Goes over history with rules and scripts.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn run_rules(&self, run: RulesRun) -> Result<RulesOutcome, StoreError> {
        let inner = Arc::clone(&self.inner);
        let (asked, dry) = (run.clone(), run.dry);
        let ruled = blocking("run rules", move || over_groups(&inner, &asked));
        let mut outcome = ruled.await.unwrap_or(Ok(RulesOutcome::default()))?;
        outcome.dry = dry;
        let inner = Arc::clone(&self.inner);
        let asked = run.clone();
        let found = blocking("look for dumps", move || {
            let mut page = PageRequest {
                limit: asked.scripted.clamp(1, 1000),
                cursor: None,
            };
            let mut found = vec![];
            loop {
                let dumps = inner.store.dumps(&asked.query, &page)?;
                found.extend(dumps.items.into_iter().map(|dump| dump.id));
                page.cursor = dumps.next_cursor;
                if page.cursor.is_none() || found.len() >= page.limit {
                    return Ok::<_, StoreError>((inner.rules(), found));
                }
            }
        });
        let Some(found) = found.await else {
            return Ok(outcome);
        };
        let (set, dumps) = found?;
        for dump in dumps.iter().take(run.scripted) {
            match run_scripts(&self.inner, &set, dump, run.only.as_deref()).await {
                Ok(Some(answers)) => {
                    count(&mut outcome, dump, &answers);
                    // What other scripts said stays only if they ran too.
                    if !run.dry && run.only.is_none() {
                        keep(&self.inner, dump, answers).await;
                    }
                }
                Ok(None) => {}
                Err(why) => outcome.mistakes.push(format!("{dump}: {why}")),
            }
        }
        Ok(outcome)
    }
}

fn count(outcome: &mut RulesOutcome, dump: &DumpId, answers: &[Answer]) {
    outcome.scripted += 1;
    for answer in answers {
        for (key, value) in &answer.properties {
            let line = format!("{}: {key}={value}", answer.script);
            *outcome.properties.entry(line).or_default() += 1;
        }
        if let Some(mistake) = &answer.error {
            outcome.mistakes.push(format!(
                "{} line {}: {} (dump {dump})",
                answer.script, mistake.line, mistake.message
            ));
        }
    }
}

fn over_groups(inner: &Inner, run: &RulesRun) -> Result<RulesOutcome, StoreError> {
    let mut outcome = RulesOutcome::default();
    let set = inner.rules();
    let asked = |loaded: &&LoadedRule| {
        run.only
            .as_ref()
            .is_none_or(|name| *name == loaded.rule.name)
    };
    let within: Option<BTreeSet<String>> = if run.query == Query::default() {
        None
    } else {
        Some(groups(&inner.store, &run.query)?.into_iter().collect())
    };
    for loaded in set.rules.iter().filter(asked) {
        let mut matching = groups(&inner.store, &loaded.query)?;
        matching.retain(|group| within.as_ref().is_none_or(|within| within.contains(group)));
        for group in matching {
            for change in pending(&inner.store, &loaded.rule, &group)? {
                let made = RuleChange {
                    rule: loaded.rule.name.clone(),
                    group: group.clone(),
                    change: change.clone(),
                };
                if !run.dry
                    && let Err(error) =
                        inner
                            .store
                            .change_group(&actor(&loaded.rule.name), &group, change)
                {
                    outcome.mistakes.push(format!(
                        "rule {}: group {group}: {}",
                        loaded.rule.name,
                        chain(&error)
                    ));
                    continue;
                }
                outcome.changes.push(made);
            }
        }
    }
    Ok(outcome)
}

/// Groups with a dump that matches.
fn groups(store: &Store, query: &Query) -> Result<Vec<String>, StoreError> {
    let none = Histogram {
        now_ms: 0,
        window_ms: 0,
        buckets: 0,
    };
    let mut page = PageRequest {
        limit: 1000,
        cursor: None,
    };
    let mut found = vec![];
    loop {
        let groups = store.groups(query, &page, none)?;
        found.extend(groups.items.into_iter().map(|group| group.id));
        page.cursor = groups.next_cursor;
        if page.cursor.is_none() || found.len() >= MOST_GROUPS {
            return Ok(found);
        }
    }
}

fn does(rule: &Rule) -> String {
    let words = |what: &str, list: &[String]| {
        (!list.is_empty()).then(|| format!("{what} {}", list.join(", ")))
    };
    let state = rule.state.map(|state| match state {
        RuleState::Ignored => "ignores".to_owned(),
        RuleState::Resolved => "resolves".to_owned(),
    });
    let parts = [
        words("tags", &rule.tag),
        words("links", &rule.ticket),
        rule.owner.as_ref().map(|owner| format!("owner {owner}")),
        rule.note.as_ref().map(|_| "notes".to_owned()),
        state,
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

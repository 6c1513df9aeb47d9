//! Compares two crashes: what is the same about them says little, what differs may be the cause.

use crate::ui::view::crash;
use crate::ui::view::stack::{function, source_place};
use crate::ui::view::text::clip;
use aground_analyzer::report::{Frame, Report, Thread};
use aground_helper::record::Record;
use aground_store::types::{Dump, DumpSummary};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Frames of each stack that are compared.
const MOST_FRAMES: usize = 200;
/// Variables and modules of each crash that are compared.
const MOST: usize = 4000;
/// The longest value, characters.
const LONGEST: usize = 2000;

/// Two crashes side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The first.
    pub a: DumpSummary,
    /// The second.
    pub b: DumpSummary,
    /// Whether they are in one group.
    pub same_group: bool,
    /// What is known of both, in the order of pages.
    pub facts: Vec<Pair>,
    /// Variables of the environment that differ, by name.
    pub environment: Vec<Pair>,
    /// Variables that are the same.
    pub environment_same: usize,
    /// Modules whose build differs or that only one has, by path.
    pub modules: Vec<Pair>,
    /// Modules that are the same.
    pub modules_same: usize,
    /// The crashed threads' stacks, innermost first, equal functions in one row.
    pub stack: Vec<FramePair>,
    /// What could not be compared, a sentence each.
    pub notes: Vec<String>,
}

/// What both have, or one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// What it is.
    pub name: String,
    /// Of the first; `None`: not known, or not there.
    pub a: Option<String>,
    /// Of the second.
    pub b: Option<String>,
}

impl Pair {
    /// Whether both have the same.
    pub fn same(&self) -> bool {
        self.a == self.b
    }
}

/// A row of two stacks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FramePair {
    /// Of the first.
    pub a: Option<Place>,
    /// Of the second.
    pub b: Option<Place>,
}

/// A frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its position in the stack.
    pub index: usize,
    /// Function, or what is known instead.
    pub function: String,
    /// `http.c:42`.
    pub source: Option<String>,
    /// Whether it belongs to the application.
    pub in_app: bool,
}

impl Comparison {
    /// Of two dumps.
    pub fn new(a: &Dump, b: &Dump) -> Self {
        let (environment, environment_same) = differing(environment(a), environment(b));
        let (modules, modules_same) = differing(modules(a), modules(b));
        Self {
            a: a.summary.clone(),
            b: b.summary.clone(),
            same_group: a.summary.group.is_some() && a.summary.group == b.summary.group,
            facts: facts(a, b),
            environment,
            environment_same,
            modules,
            modules_same,
            stack: aligned(&frames(a), &frames(b)),
            notes: notes([a, b]),
        }
    }
}

fn facts(a: &Dump, b: &Dump) -> Vec<Pair> {
    type Of = fn(&Dump) -> Option<String>;
    let rows: [(&str, Of); 18] = [
        ("Cause", |dump| Some(crash::cause(&dump.summary))),
        ("Signal", |dump| Some(dump.summary.signal.clone())),
        ("Message", |dump| {
            dump.report.as_ref()?.cause.message.clone()
        }),
        ("Where", |dump| dump.summary.location.clone()),
        ("Image", |dump| {
            dump.summary.container.as_ref()?.image.clone()
        }),
        ("Image digest", |dump| {
            let digests = &dump.record.container.as_ref()?.image_digests;
            (!digests.is_empty()).then(|| digests.join(", "))
        }),
        ("Image id", |dump| {
            dump.summary.container.as_ref()?.image_id.clone()
        }),
        ("Container", |dump| {
            dump.summary.container.as_ref()?.name.clone()
        }),
        ("Runtime", |dump| {
            Some(dump.summary.container.as_ref()?.runtime.clone())
        }),
        ("Memory limit", |dump| {
            let limit = dump.record.container.as_ref()?.memory_limit?;
            Some(crate::ui::view::bytes::size(limit))
        }),
        ("Unit", |dump| dump.summary.unit.clone()),
        ("Executable", |dump| dump.summary.executable.clone()),
        ("Command", |dump| Some(dump.summary.command.clone())),
        ("Directory", |dump| dump.record.process.cwd.clone()),
        ("User", |dump| {
            dump.record.process.uids.map(|[real, ..]| real.to_string())
        }),
        ("Host", |dump| Some(dump.summary.host.clone())),
        ("Kernel", |dump| Some(dump.record.host.kernel.clone())),
        ("Architecture", |dump| Some(dump.record.host.arch.clone())),
    ];
    let of = |dump: &Dump, what: Of| {
        let value = what(dump).filter(|value| !value.is_empty())?;
        Some(clip(&value, LONGEST))
    };
    let pair = |(name, what): (&str, Of)| Pair {
        name: name.to_owned(),
        a: of(a, what),
        b: of(b, what),
    };
    let known = |pair: &Pair| pair.a.is_some() || pair.b.is_some();
    rows.into_iter().map(pair).filter(known).collect()
}

fn environment(dump: &Dump) -> BTreeMap<String, String> {
    let entries = dump.record.process.environment.iter().take(MOST);
    let pairs = entries.map(|entry| entry.split_once('=').unwrap_or((entry, "")));
    pairs
        .map(|(name, value)| (clip(name, 300), clip(value, LONGEST)))
        .collect()
}

/// Build IDs by path; what has none is told by the place of its first mapping.
fn modules(dump: &Dump) -> BTreeMap<String, String> {
    let none = || "no build ID".to_owned();
    let mut found = BTreeMap::new();
    let mut add = |path: &str, build_id: Option<&String>| {
        let build = build_id.map_or_else(none, |id| clip(id, 100));
        found.entry(clip(path, 1000)).or_insert(build);
    };
    match &dump.report {
        Some(Report { modules, .. }) if !modules.is_empty() => {
            for module in modules.iter().take(MOST) {
                add(&module.path, module.build_id.as_ref());
            }
        }
        _ => {
            for module in dump.record.modules.iter().take(MOST) {
                add(&module.path, module.build_id.as_ref());
            }
        }
    }
    found
}

/// What differs, by name, and how many are the same.
fn differing(a: BTreeMap<String, String>, mut b: BTreeMap<String, String>) -> (Vec<Pair>, usize) {
    let mut same = 0;
    let mut pairs = vec![];
    for (name, value) in a {
        let other = b.remove(&name);
        if other.as_ref() == Some(&value) {
            same += 1;
            continue;
        }
        pairs.push(Pair {
            name,
            a: Some(value),
            b: other,
        });
    }
    pairs.extend(b.into_iter().map(|(name, value)| Pair {
        name,
        a: None,
        b: Some(value),
    }));
    pairs.sort_by(|x, y| x.name.cmp(&y.name));
    (pairs, same)
}

fn crashed(dump: &Dump) -> Option<&Thread> {
    let report = dump.report.as_ref()?;
    report.threads.iter().find(|thread| thread.crashed)
}

fn frames(dump: &Dump) -> Vec<Place> {
    let place = |frame: &Frame| Place {
        index: frame.index,
        function: function(frame).shown,
        source: source_place(frame).map(|place| place.short),
        in_app: frame.in_app,
    };
    let frames = crashed(dump).map(|thread| thread.frames.as_slice());
    let frames = frames.unwrap_or_default().iter().take(MOST_FRAMES);
    frames.map(place).collect()
}

/// The longest common subsequence of functions in common rows, everything else in rows of its own.
fn aligned(ours: &[Place], theirs: &[Place]) -> Vec<FramePair> {
    let common = common(ours, theirs);
    let width = theirs.len() + 1;
    let length = |i: usize, j: usize| common.get(i * width + j).copied().unwrap_or(0);
    let (mut i, mut j, mut rows) = (0, 0, vec![]);
    loop {
        let pair = (ours.get(i), theirs.get(j));
        let (take_ours, take_theirs) = match pair {
            (None, None) => return rows,
            (Some(our), Some(their)) if our.function == their.function => (true, true),
            (Some(_), Some(_)) => {
                let skip_ours = length(i + 1, j) >= length(i, j + 1);
                (skip_ours, !skip_ours)
            }
            (our, their) => (our.is_some(), their.is_some()),
        };
        rows.push(FramePair {
            a: pair.0.filter(|_| take_ours).cloned(),
            b: pair.1.filter(|_| take_theirs).cloned(),
        });
        i += usize::from(take_ours);
        j += usize::from(take_theirs);
    }
}

/// How many functions two stacks have in common from each pair of frames on, row by row.
fn common(ours: &[Place], theirs: &[Place]) -> Vec<usize> {
    let width = theirs.len() + 1;
    let mut lengths = vec![0; (ours.len() + 1) * width];
    for (i, our) in ours.iter().enumerate().rev() {
        for (j, their) in theirs.iter().enumerate().rev() {
            let at = |i: usize, j: usize| lengths.get(i * width + j).copied().unwrap_or(0);
            let longest = if our.function == their.function {
                at(i + 1, j + 1) + 1
            } else {
                at(i + 1, j).max(at(i, j + 1))
            };
            if let Some(cell) = lengths.get_mut(i * width + j) {
                *cell = longest;
            }
        }
    }
    lengths
}

fn notes(dumps: [&Dump; 2]) -> Vec<String> {
    let mut notes = vec![];
    for dump in dumps {
        let id = dump.summary.id.short();
        if dump.report.is_none() {
            notes.push(format!("Crash {id} has no report: its stack is not known."));
        } else if crashed(dump).is_none() {
            notes.push(format!(
                "The core of {id} does not say which thread crashed."
            ));
        }
        let Record { process, .. } = &dump.record;
        if process.environment.is_empty() {
            notes.push(format!("No environment of {id} can be shown."));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(functions: &str) -> Vec<Place> {
        let place = |(index, function): (usize, &str)| Place {
            index,
            function: function.to_owned(),
            ..Place::default()
        };
        functions
            .split_whitespace()
            .enumerate()
            .map(place)
            .collect()
    }

    fn shown(a: &str, b: &str) -> String {
        let of = |place: &Option<Place>| place.as_ref().map_or("-", |p| &p.function).to_owned();
        let rows = aligned(&stack(a), &stack(b));
        let rows = rows
            .iter()
            .map(|row| format!("{}/{}", of(&row.a), of(&row.b)));
        rows.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn equal_functions_are_in_one_row() {
        assert_eq!(shown("a b c", "a b c"), "a/a b/b c/c");
        assert_eq!(shown("a b c", "a c"), "a/a b/- c/c");
        assert_eq!(shown("x main", "y z main"), "x/- -/y -/z main/main");
        assert_eq!(shown("", "a"), "-/a");
        assert_eq!(shown("", ""), "");
        let deep = "f ".repeat(MOST_FRAMES);
        assert_eq!(aligned(&stack(&deep), &stack(&deep)).len(), MOST_FRAMES);
    }

    #[test]
    fn only_what_differs_is_told() {
        let of = |text: &str| {
            let pairs = text
                .split_whitespace()
                .filter_map(|pair| pair.split_once('='));
            pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
        };
        let (pairs, same) = differing(of("A=1 B=2 C=3"), of("A=1 C=4 D=5"));
        let shown: Vec<_> = pairs
            .iter()
            .map(|p| (p.name.as_str(), p.a.as_deref(), p.b.as_deref()))
            .collect();
        assert_eq!(
            shown,
            [
                ("B", Some("2"), None),
                ("C", Some("3"), Some("4")),
                ("D", None, Some("5"))
            ]
        );
        assert_eq!(same, 1);
    }
}

//! Lays two debuggers' frames of one thread side by side.

use super::explained::explanation;
use super::values::{self, Values};
use aground_testkit::gdb::Frame;
use serde_json::Value;
use std::fmt::Write as _;

/// A thread as one debugger shows it.
pub struct Thread {
    pub tid: i64,
    pub frames: Vec<Placed>,
}

/// A frame and where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    pub pc: u64,
    pub frame: Frame,
    /// The linker's name: debuggers write the same function of Rust in different ways.
    pub linkage_name: Option<String>,
    /// Whether it is the kernel's signal trampoline.
    pub signal: bool,
    /// Variables that are numbers or addresses; `None` where the value is not known.
    pub variables: Vec<(String, Option<i128>)>,
}

impl Thread {
    /// What `frames.py` writes.
    pub fn of_gdb(thread: &Value) -> Self {
        let frame = |frame: &Value| Placed {
            pc: frame["pc"].as_u64().expect("pc"),
            frame: Frame::new(
                frame["function"].as_str(),
                frame["file"].as_str(),
                frame["line"].as_u64(),
            ),
            linkage_name: frame["linkage_name"].as_str().map(str::to_owned),
            signal: frame["signal"] == true,
            variables: values::of_gdb(&frame["variables"]),
        };
        Thread {
            tid: thread["tid"].as_i64().expect("tid"),
            frames: thread["frames"]
                .as_array()
                .expect("frames")
                .iter()
                .map(frame)
                .collect(),
        }
    }

    /// A thread of a report.
    pub fn of_report(thread: &Value) -> Self {
        let frame = |frame: &Value| Placed {
            pc: u64::from_str_radix(&frame["pc"].as_str().expect("pc")[2..], 16).expect("hex"),
            frame: Frame::new(
                frame["function"].as_str(),
                frame["file"].as_str(),
                frame["line"].as_u64(),
            ),
            linkage_name: frame["linkage_name"].as_str().map(str::to_owned),
            signal: frame["signal_trampoline"] == true,
            variables: values::of_report(&frame["variables"]),
        };
        Thread {
            tid: thread["tid"].as_i64().expect("tid"),
            frames: thread["frames"]
                .as_array()
                .expect("frames")
                .iter()
                .map(frame)
                .collect(),
        }
    }
}

impl Placed {
    fn is(&self, other: &Placed) -> bool {
        let place = |one: &Placed| (one.pc, one.frame.file.clone(), one.frame.line);
        self.signal && other.signal || self.is_function(other) && place(self) == place(other)
    }

    fn is_unknown(&self) -> bool {
        !self.signal && self.frame.function.is_none() && self.frame.file.is_none()
    }

    fn is_function(&self, other: &Placed) -> bool {
        self.frame.function == other.frame.function
            || self.linkage_name.is_some() && self.linkage_name == other.linkage_name
    }
}

/// A place where the two differ.
#[derive(Debug)]
pub struct Difference {
    /// Thread and gdb's number of the frame.
    pub place: String,
    /// gdb's frame; `None` where it has none.
    pub gdb: Option<Placed>,
    /// Ours.
    pub ours: Option<Placed>,
    /// Why, if that is known.
    pub why: Option<&'static str>,
}

/// One crash.
pub struct Comparison {
    name: &'static str,
    threads: usize,
    /// Frames of gdb that are the same in ours.
    same: usize,
    /// Frames of gdb.
    all: usize,
    /// Places of which gdb knows nothing: neither function nor file.
    unnamed: usize,
    /// Values of variables in frames that are the same.
    pub values: Values,
    differences: Vec<Difference>,
}

impl Comparison {
    pub fn of(name: &'static str, gdb: &[Thread], ours: &[Thread]) -> Self {
        let mut comparison = Comparison {
            name,
            threads: gdb.len(),
            same: 0,
            all: 0,
            unnamed: 0,
            values: Values::default(),
            differences: Vec::new(),
        };
        for theirs in gdb {
            let own = ours.iter().find(|own| own.tid == theirs.tid);
            let frames = own.map_or(&[][..], |own| &own.frames);
            comparison.add(theirs, frames);
        }
        comparison
    }

    fn add(&mut self, gdb: &Thread, ours: &[Placed]) {
        let pairs = align(&gdb.frames, ours);
        let last = pairs.iter().rposition(|(theirs, _)| theirs.is_some());
        // What follows gdb's last frame is more than gdb knows.
        let mut beyond_unknown = false;
        for (theirs, own) in pairs.into_iter().take(last.map_or(0, |last| last + 1)) {
            if theirs.is_some_and(Placed::is_unknown) {
                self.unnamed += 1;
                beyond_unknown = true;
                continue;
            }
            self.all += usize::from(theirs.is_some());
            if let Some((theirs, own)) = theirs.zip(own).filter(|(theirs, own)| theirs.is(own)) {
                self.same += 1;
                self.values.add(self.name, theirs, own);
                continue;
            }
            self.differences.push(Difference {
                place: format!("thread {}", gdb.tid),
                why: explanation(self.name, theirs, own, beyond_unknown),
                gdb: theirs.cloned(),
                ours: own.cloned(),
            });
        }
    }

    /// Differences without an explanation, for a person.
    pub fn unexplained(&self) -> impl Iterator<Item = String> {
        let unexplained = self.differences.iter().filter(|one| one.why.is_none());
        unexplained.map(|difference| self.show(difference))
    }

    fn show(&self, difference: &Difference) -> String {
        format!(
            "{} {}\n    gdb   {}\n    ours  {}\n    why   {}",
            self.name,
            difference.place,
            shown(difference.gdb.as_ref()),
            shown(difference.ours.as_ref()),
            difference.why.unwrap_or("not explained")
        )
    }
}

type Pair<'p> = (Option<&'p Placed>, Option<&'p Placed>);

/// Pairs frames so that as many as possible have the same place, function and line.
fn align<'p>(gdb: &'p [Placed], ours: &'p [Placed]) -> Vec<Pair<'p>> {
    let score = |a: &Placed, b: &Placed| {
        u32::from(a.pc == b.pc) * 2 + u32::from(a.is_function(b)) + u32::from(a.is(b))
    };
    let (rows, columns) = (gdb.len() + 1, ours.len() + 1);
    let mut best = vec![0_u32; rows * columns];
    for row in (0..gdb.len()).rev() {
        for column in (0..ours.len()).rev() {
            let both = score(&gdb[row], &ours[column]);
            let skip = best[(row + 1) * columns + column].max(best[row * columns + column + 1]);
            best[row * columns + column] = skip.max(both + best[(row + 1) * columns + column + 1]);
        }
    }
    let (mut row, mut column, mut pairs) = (0, 0, Vec::new());
    while row < gdb.len() || column < ours.len() {
        let at = |row: usize, column: usize| best.get(row * columns + column).copied().unwrap_or(0);
        if row < gdb.len()
            && column < ours.len()
            && at(row, column) == at(row + 1, column + 1) + score(&gdb[row], &ours[column])
        {
            pairs.push((Some(&gdb[row]), Some(&ours[column])));
            (row, column) = (row + 1, column + 1);
        } else if row < gdb.len()
            && (column == ours.len() || at(row, column) == at(row + 1, column))
        {
            pairs.push((Some(&gdb[row]), None));
            row += 1;
        } else {
            pairs.push((None, Some(&ours[column])));
            column += 1;
        }
    }
    pairs
}

/// Values that are the same, and all.
pub fn value_totals(comparisons: &[Comparison]) -> (usize, usize) {
    let sum = |of: fn(&Comparison) -> usize| comparisons.iter().map(of).sum();
    (sum(|one| one.values.same), sum(|one| one.values.all))
}

/// Frames that are the same, and all.
pub fn totals(comparisons: &[Comparison]) -> (usize, usize) {
    let sum = |of: fn(&Comparison) -> usize| comparisons.iter().map(of).sum();
    (sum(|one| one.same), sum(|one| one.all))
}

/// The table, then every difference.
pub fn table(comparisons: &[Comparison]) -> String {
    let mut text = format!(
        "{:<20} {:>7} {:>7} {:>7} {:>8} {:>7} {:>7}\n",
        "crash", "threads", "frames", "same", "unnamed", "values", "same"
    );
    for one in comparisons {
        let _ = writeln!(
            text,
            "{:<20} {:>7} {:>7} {:>7} {:>8} {:>7} {:>7}",
            one.name, one.threads, one.all, one.same, one.unnamed, one.values.all, one.values.same
        );
    }
    let (same, all) = totals(comparisons);
    let hundredths = same * 10_000 / all.max(1);
    let percent = format!("{}.{:02} %", hundredths / 100, hundredths % 100);
    let _ = writeln!(text, "{same} of {all} frames: {percent}\n");
    let (same, all) = value_totals(comparisons);
    let _ = writeln!(text, "{same} of {all} values of variables\n");
    for one in comparisons {
        one.values.write(one.name, &mut text);
    }
    for one in comparisons {
        for difference in &one.differences {
            let _ = writeln!(text, "{}", one.show(difference));
        }
    }
    text
}

fn shown(placed: Option<&Placed>) -> String {
    let Some(placed) = placed else {
        return "no frame".to_owned();
    };
    let Frame {
        function,
        file,
        line,
    } = &placed.frame;
    let file = file.as_deref().unwrap_or("-");
    let function = function.as_deref().unwrap_or("??");
    format!("{:#x} {function} {file}:{}", placed.pc, line.unwrap_or(0))
}

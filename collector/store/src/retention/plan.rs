//! Rows in, steps out. Pure.

use super::size::human;
use super::{Action, Held, HeldDump, Limits, Plan, Step};
use aground_helper::record::Kept;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// A core of at most so many bytes on disk is as good as lean.
const SMALL: u64 = 1 << 20;

/// How much a dump matters to its group; the least goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    Ordinary,
    /// One of the newest with memory, so many as [`Limits::per_group`] says.
    Floor,
    /// The first or the newest of its group.
    End,
}

/// Gives up what must go for the limits to hold.
///
/// Whole dumps are deleted only if that reaches the limit: where something else fills the disk,
/// no record is lost in vain. Pinned dumps are never touched.
pub fn plan(held: &Held, limits: &Limits) -> Plan {
    let mut draft = Draft::new(held);
    draft.expire();
    draft.age(limits);
    let worth = worth(held, limits.per_group);
    for action in [Action::Thin, Action::DropMemory, Action::Delete] {
        let limits = match action {
            Action::Delete => &draft.within_reach(limits),
            _ => limits,
        };
        for level in [Worth::Ordinary, Worth::Floor, Worth::End] {
            draft.make_room(action, level, &worth, limits);
        }
    }
    let unmet = draft.exceeded(limits).map(|limit| draft.complaint(&limit));
    draft.finish(unmet)
}

/// Gives up everything that may be given up, because somebody asked for it.
pub fn asked(held: &Held, action: Action) -> Plan {
    let mut draft = Draft::new(held);
    let mut order: Vec<usize> = (0..held.dumps.len()).collect();
    order.sort_by_key(|&index| {
        let dump = held.dumps.get(index);
        dump.map(|dump| (dump.crashed_at_ms, dump.id.clone()))
    });
    for index in order {
        draft.take(index, action, "it was asked for");
    }
    draft.finish(None)
}

/// A limit that does not hold.
struct Exceeded {
    /// Why something must go.
    reason: String,
    by_others: bool,
}

/// What is left of a dump in the course of planning.
#[derive(Clone, Copy)]
struct Left {
    memory: u64,
    rest: u64,
    has_modules: bool,
    step: Option<Action>,
}

/// A plan in the making, and what would be held after it.
struct Draft<'h> {
    held: &'h Held,
    left: Vec<Left>,
    /// Dumps that need each module.
    users: Vec<usize>,
    total: u64,
    before: u64,
    free: u64,
    steps: Vec<(usize, Step)>,
}

impl<'h> Draft<'h> {
    fn new(held: &'h Held) -> Self {
        let mut users = vec![0_usize; held.modules.len()];
        for module in held.dumps.iter().flat_map(|dump| &dump.modules) {
            if let Some(users) = users.get_mut(*module) {
                *users += 1;
            }
        }
        let left = |dump: &HeldDump| Left {
            memory: dump.memory,
            rest: dump.rest,
            has_modules: !dump.modules.is_empty(),
            step: None,
        };
        let dumps = held
            .dumps
            .iter()
            .map(|dump| dump.memory.saturating_add(dump.rest));
        let modules = held.modules.iter().zip(&users);
        let modules = modules.filter_map(|(bytes, users)| (*users > 0).then_some(*bytes));
        let total = dumps.chain(modules).fold(0, u64::saturating_add);
        Self {
            held,
            left: held.dumps.iter().map(left).collect(),
            users,
            total,
            before: total,
            free: held.free,
            steps: vec![],
        }
    }

    /// Leaves out what a later step does as well, and counts again what each step frees.
    fn finish(self, unmet: Option<String>) -> Plan {
        let last = |index: usize| self.left.get(index).and_then(|left| left.step);
        let mut again = Self::new(self.held);
        for (index, step) in &self.steps {
            if last(*index) == Some(step.action) {
                again.take(*index, step.action, &step.reason);
            }
        }
        Plan {
            steps: again.steps.into_iter().map(|(_, step)| step).collect(),
            held: self.before,
            unmet,
        }
    }

    fn exceeded(&self, limits: &Limits) -> Option<Exceeded> {
        if let Some(most) = limits.max_bytes.filter(|most| self.total > *most) {
            let (held, most) = (human(self.before), human(most));
            return Some(Exceeded {
                reason: format!("{held} were held and the quota is {most}"),
                by_others: false,
            });
        }
        (self.free < limits.min_free).then(|| {
            let (free, least) = (human(self.held.free), human(limits.min_free));
            Exceeded {
                reason: format!("{free} of the disk were free and {least} must be"),
                by_others: true,
            }
        })
    }

    fn complaint(&self, limit: &Exceeded) -> String {
        let pinned = self.held.dumps.iter().filter(|dump| dump.pinned);
        let (count, bytes) = pinned.fold((0_u64, 0_u64), |(count, bytes), dump| {
            let own = dump.memory.saturating_add(dump.rest);
            (count + 1, bytes.saturating_add(own))
        });
        let mut why = vec![];
        if count > 0 {
            why.push(format!("{count} pinned dumps hold {}", human(bytes)));
        }
        if limit.by_others {
            why.push("deleting every other dump would not be enough".to_owned());
        }
        if why.is_empty() {
            why.push("what may be given up is not enough".to_owned());
        }
        format!("{}, but {}", limit.reason, why.join(", and "))
    }

    /// Drops memory that was only to be kept until the report exists.
    fn expire(&mut self) {
        let reason = "its policy is trace, and the report exists";
        for (index, dump) in self.held.dumps.iter().enumerate() {
            if dump.expired {
                self.take(index, Action::DropMemory, reason);
            }
        }
    }

    /// Gives up what is too old.
    fn age(&mut self, limits: &Limits) {
        let ages = [
            (Action::Delete, limits.max_age_ms, "dumps are"),
            (Action::DropMemory, limits.memory_age_ms, "memory is"),
        ];
        for (action, age, what) in ages {
            let Some(age) = age else { continue };
            let reason = format!("{what} kept for {} only", span(age));
            let oldest = i64::try_from(age).unwrap_or(i64::MAX);
            let oldest = self.held.now_ms.saturating_sub(oldest);
            for (index, dump) in self.held.dumps.iter().enumerate() {
                if dump.crashed_at_ms < oldest {
                    self.take(index, action, &reason);
                }
            }
        }
    }

    /// Takes from the group that has most, the largest and oldest first, until the limits hold.
    fn make_room(&mut self, action: Action, level: Worth, worth: &[Worth], limits: &Limits) {
        if self.exceeded(limits).is_none() {
            return;
        }
        let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, dump) in self.held.dumps.iter().enumerate() {
            if worth.get(index) == Some(&level) && self.weight(index, action) > 0 {
                groups.entry(&dump.group).or_default().push(index);
            }
        }
        let mut largest: BinaryHeap<(u64, Reverse<&str>)> = BinaryHeap::new();
        for (name, members) in &mut groups {
            // The next one is at the end.
            members.sort_by_key(|index| Reverse(self.order(*index, action)));
            let bytes = members.iter().map(|index| self.weight(*index, action));
            largest.push((bytes.fold(0, u64::saturating_add), Reverse(name)));
        }
        while let Some((bytes, Reverse(name))) = largest.pop() {
            let Some(limit) = self.exceeded(limits) else {
                return;
            };
            let Some(index) = groups.get_mut(name).and_then(Vec::pop) else {
                continue;
            };
            let weight = self.weight(index, action);
            self.take(index, action, &limit.reason);
            largest.push((bytes.saturating_sub(weight), Reverse(name)));
        }
    }

    /// The limits that deleting all that may be deleted would meet.
    fn within_reach(&self, limits: &Limits) -> Limits {
        let rest = (0..self.left.len()).map(|index| self.weight(index, Action::Delete));
        let rest = rest.fold(0, u64::saturating_add);
        let fits = |most: &u64| self.total.saturating_sub(rest) <= *most;
        let frees = self.free.saturating_add(rest) >= limits.min_free;
        Limits {
            max_bytes: limits.max_bytes.filter(fits),
            min_free: if frees { limits.min_free } else { 0 },
            ..limits.clone()
        }
    }

    /// What a dump counts for in a stage; 0 when there is nothing to take.
    fn weight(&self, index: usize, action: Action) -> u64 {
        let (Some(dump), Some(left)) = (self.held.dumps.get(index), self.left.get(index)) else {
            return 0;
        };
        if dump.pinned || !dump.eligible || left.step == Some(Action::Delete) {
            return 0;
        }
        match action {
            Action::Thin if dump.kept == Kept::Full && dump.thinnable && left.memory > SMALL => {
                left.memory
            }
            Action::Thin => 0,
            // Modules are shared: whoever needs them last frees them.
            Action::DropMemory => left.memory.max(u64::from(left.has_modules)),
            Action::Delete => left.memory.saturating_add(left.rest).max(1),
        }
    }

    /// Largest first, by powers of two, so that of about equal ones the oldest goes.
    fn order(&self, index: usize, action: Action) -> (Reverse<Option<u32>>, i64, &'h str) {
        let size = self.weight(index, action).checked_ilog2();
        let dump = self.held.dumps.get(index);
        let (at, id) = dump.map_or((0, ""), |dump| (dump.crashed_at_ms, dump.id.as_str()));
        (Reverse(size), at, id)
    }

    fn take(&mut self, index: usize, action: Action, reason: &str) {
        if self.weight(index, action) == 0 {
            return;
        }
        let (Some(dump), Some(left)) = (self.held.dumps.get(index), self.left.get_mut(index))
        else {
            return;
        };
        let mut frees = match action {
            Action::Thin => left.memory.saturating_sub(lean_estimate(left.memory)),
            Action::DropMemory => left.memory,
            Action::Delete => left.memory.saturating_add(left.rest),
        };
        left.step = Some(action);
        left.memory = match action {
            Action::Thin => lean_estimate(left.memory),
            Action::DropMemory | Action::Delete => 0,
        };
        if action != Action::Thin && left.has_modules {
            left.has_modules = false;
            for module in &dump.modules {
                let users = self.users.get_mut(*module);
                if users.is_some_and(|users| {
                    *users = users.saturating_sub(1);
                    *users == 0
                }) {
                    let bytes = self.held.modules.get(*module).copied().unwrap_or(0);
                    frees = frees.saturating_add(bytes);
                }
            }
        }
        self.total = self.total.saturating_sub(frees);
        self.free = self.free.saturating_add(frees);
        let step = Step {
            id: dump.id.clone(),
            action,
            reason: reason.to_owned(),
            frees,
        };
        self.steps.push((index, step));
    }
}

/// What a lean core takes of a whole one's bytes on disk, at the least. How much it really is shows
/// when it is made, and the next plan knows; to expect more would drop memory that may stay.
fn lean_estimate(memory: u64) -> u64 {
    (memory / 64).clamp(SMALL / 16, SMALL)
}

fn worth(held: &Held, per_group: u64) -> Vec<Worth> {
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, dump) in held.dumps.iter().enumerate() {
        groups.entry(&dump.group).or_default().push(index);
    }
    let mut worth = vec![Worth::Ordinary; held.dumps.len()];
    let mut raise = |index: Option<&usize>, to: Worth| {
        if let Some(worth) = index.and_then(|index| worth.get_mut(*index)) {
            *worth = to.max(*worth);
        }
    };
    for members in groups.values_mut() {
        let dump = |index: &usize| held.dumps.get(*index);
        members.sort_by_key(|index| dump(index).map(|dump| (dump.crashed_at_ms, &dump.id)));
        let newest = members.iter().rev();
        let with_memory = newest.filter(|index| dump(index).is_some_and(|dump| dump.memory > 0));
        let floor = usize::try_from(per_group).unwrap_or(usize::MAX);
        with_memory
            .take(floor)
            .for_each(|index| raise(Some(index), Worth::Floor));
        raise(members.first(), Worth::End);
        raise(members.last(), Worth::End);
    }
    worth
}

/// A duration in the largest unit that divides it well.
fn span(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    for (unit, name) in [(86_400, "day"), (3600, "hour"), (60, "minute")] {
        if seconds >= unit && seconds.is_multiple_of(unit) {
            let count = seconds / unit;
            let plural = if count == 1 { "" } else { "s" };
            return format!("{count} {name}{plural}");
        }
    }
    format!("{seconds} seconds")
}

#[cfg(test)]
mod tests;

//! What a store shows: some crashes or all, with or without what was in their memory.

use super::Scope;
use crate::query::Query;
use crate::query::language::{Test, Words};
use crate::store::{Store, StoreError};
use aground_analyzer::report::{Report, Thread};
use aground_helper::record::Record;

/// Said in records and reports in the place of what is hidden.
const HIDDEN: &str = "hidden: it needs the role debug";

/// What a store shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sight {
    /// Which crashes; all others are as if they did not exist.
    pub scope: Scope,
    /// Whether also what was in memory: cores, variables, registers, environment, logs.
    pub memory: bool,
}

impl Default for Sight {
    fn default() -> Self {
        Self {
            scope: Scope::default(),
            memory: true,
        }
    }
}

impl Store {
    /// What this store shows.
    pub fn sight(&self) -> &Sight {
        &self.inner.sight
    }

    /// Refuses where memory is not shown.
    pub(crate) fn memory_is_shown(&self) -> Result<(), StoreError> {
        if self.sight().memory {
            return Ok(());
        }
        Err(StoreError::Refused(format!("memory is {HIDDEN}")))
    }

    /// Refuses to look for words in logs that are not shown: answers would tell them, too.
    pub(crate) fn may_ask(&self, query: &Query) -> Result<(), StoreError> {
        let tells = |test: &Test| matches!(test, Test::Words(Words::Log | Words::Any, _));
        if self.sight().memory || !query.clauses.iter().any(|clause| tells(&clause.test)) {
            return Ok(());
        }
        Err(StoreError::Refused(format!(
            "words are looked for in logs too, and these are {HIDDEN}; message: and the other \
             fields can be asked"
        )))
    }

    /// A record as far as it is shown.
    pub(crate) fn shown_record(&self, mut record: Record) -> Record {
        if !self.sight().memory && !record.process.environment.is_empty() {
            record.process.environment.clear();
            record.problems.push(format!("environment {HIDDEN}"));
        }
        record
    }

    /// A report as far as it is shown.
    pub(crate) fn shown_report(&self, mut report: Report) -> Report {
        if self.sight().memory {
            return report;
        }
        if let Some(site) = &mut report.site {
            site.memory.clear();
            site.registers.clear();
            site.memory_withheld = true;
        }
        let own = report.threads.iter_mut();
        let theirs = report
            .runtimes
            .iter_mut()
            .flat_map(|r| r.threads.iter_mut());
        own.chain(theirs).for_each(hide);
        report
            .warnings
            .push(format!("registers, variables and memory are {HIDDEN}"));
        report
    }
}

fn hide(thread: &mut Thread) {
    thread.registers.clear();
    for variable in thread
        .frames
        .iter_mut()
        .flat_map(|f| f.variables.iter_mut())
    {
        HIDDEN.clone_into(&mut variable.value);
    }
}

//! Looks at what no single crash tells: rates, loops and storage.

use crate::daemon::{Daemon, Inner, chain};
use crate::status::now_ms;
use aground_helper::record::Policy;
use aground_store::StoreError;
use aground_store::notices::{Notice, NoticeKind, Rate};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Fewer crashes in an hour are no spike.
const LEAST: u64 = 10;

/// Notes what began and what ended since the last look.
pub(super) fn look(daemon: &Arc<Inner>) -> Result<(), StoreError> {
    daemon.store.open_no_longer_ignored()?;
    for rate in daemon.store.busy_groups(LEAST)? {
        if let Some(why) = spike(&rate) {
            daemon.store.note_notice(&Notice {
                key: 0,
                at_ms: now_ms(),
                kind: NoticeKind::Spike,
                group: Some(rate.group),
                dump: Some(rate.dump),
                why: Some(why),
            })?;
        }
    }
    let store = &daemon.store;
    let storage = [NoticeKind::StorageTrouble, NoticeKind::StorageRecovered];
    store.follow_conditions("storage", &storage_trouble(daemon), storage)?;
    let loops = [NoticeKind::LoopStarted, NoticeKind::LoopStopped];
    // What cannot be read is neither a beginning nor an end.
    if let Some(present) = present_loops(daemon) {
        store.follow_conditions("loop", &present, loops)?;
    }
    Ok(())
}

/// Says what is so unusual about the last hour. With λ for the crashes in an hour until then (of
/// at most a week) it is a spike when there were at least 10, at least 3λ, and at least
/// λ + 4√max(λ, 1): four standard deviations of crashes that happen independently.
fn spike(rate: &Rate) -> Option<String> {
    let number = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let usual = number(rate.before) / number(rate.hours.max(1));
    let now = number(rate.last_hour);
    let limit = (3.0 * usual)
        .max(usual + 4.0 * usual.max(1.0).sqrt())
        .max(number(LEAST));
    (now >= limit).then(|| {
        format!(
            "{} crashes in the last hour, {usual:.1} an hour in the {} before",
            rate.last_hour,
            if rate.hours == 1 {
                "hour".to_owned()
            } else {
                format!("{} hours", rate.hours)
            }
        )
    })
}

fn storage_trouble(daemon: &Inner) -> BTreeMap<String, String> {
    let live = daemon.live();
    let waiting = live.waiting.as_ref().map(|why| {
        let what = format!("crashes wait in the spool: {why}");
        ("storage-waiting".to_owned(), what)
    });
    let unmet = live.retention.unmet.as_ref();
    let unmet = unmet.map(|why| ("storage-limits".to_owned(), why.clone()));
    waiting.into_iter().chain(unmet).collect()
}

fn present_loops(daemon: &Arc<Inner>) -> Option<BTreeMap<String, String>> {
    let daemon = Daemon::of(Arc::clone(daemon));
    let governed = match daemon.governed() {
        Ok(governed) => governed,
        Err(error) => {
            tracing::warn!(error = chain(&error), "could not look for crash loops");
            return None;
        }
    };
    let limited = governed.into_iter().filter(|one| one.state != Policy::Full);
    let named = |text: String, otherwise: &str| {
        if text.is_empty() {
            otherwise.to_owned()
        } else {
            text
        }
    };
    let describe = |one: crate::Governed| {
        let what = format!(
            "{} of {} crashed {} times in the last hour; less is kept of its crashes",
            named(one.executable, "everything"),
            named(one.workload, "all workloads"),
            one.last_hour,
        );
        (format!("loop-{}", one.key), what)
    };
    Some(limited.map(describe).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_stands_out_of_the_groups_own_history() {
        for (last_hour, before, hours, expected) in [
            (9, 0, 168, false),
            (10, 0, 168, true),
            (10, 168, 168, true),
            // Ten an hour is usual; so are twenty now and then.
            (20, 1680, 168, false),
            (29, 1680, 168, false),
            (30, 1680, 168, true),
            (300, 168_000, 168, false),
            (10, 3, 1, true),
            (10, 4, 1, false),
        ] {
            let rate = Rate {
                group: String::new(),
                dump: String::new(),
                last_hour,
                before,
                hours,
            };
            assert_eq!(spike(&rate).is_some(), expected, "{rate:?}");
        }
    }
}

//! Shows what the helper's governor limits, and lets it go.

use crate::daemon::Daemon;
use crate::status::now_ms;
use aground_helper::governor::{self, Slot};
use aground_helper::record::Policy;
use serde::{Deserialize, Serialize};
use std::io;

/// Something that crashes, and what its next crash would keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Governed {
    /// Its name, 16 hexadecimal digits.
    pub key: String,
    /// What runs it, such as `compose shop/api`; empty where all workloads count together.
    pub workload: String,
    /// The image; empty for processes of the host.
    pub image: String,
    /// The executable; empty where all count together.
    pub executable: String,
    /// What the next crash would keep as far as this is concerned: full, lean or record.
    pub state: Policy,
    /// Crashes in the last hour, to ten minutes.
    pub last_hour: u64,
    /// Crashes since it is counted.
    pub crashes: u64,
    /// The last crash, milliseconds since the epoch.
    pub last_ms: i64,
    /// When a crash is kept whole again, milliseconds since the epoch; `None` when it is now or never.
    pub next_full_ms: Option<i64>,
}

impl Daemon {
    /// Everything the governor counts, what is limited first. Blocks on disk.
    ///
    /// # Errors
    /// When its table cannot be read.
    pub fn governed(&self) -> io::Result<Vec<Governed>> {
        let config = &self.inner.config;
        let (settings, now) = (&config.capture.governor, now_ms());
        let show = |slot: Slot| Governed {
            key: slot.kind.key(),
            state: slot.tally.allows(settings, slot.share, now),
            last_hour: slot.tally.last_hour(now),
            crashes: slot.tally.crashes,
            last_ms: slot.tally.last_ms,
            next_full_ms: slot.tally.next_full_ms(settings, slot.share, now),
            workload: slot.kind.workload,
            image: slot.kind.image,
            executable: slot.kind.executable,
        };
        let slots = governor::read_loops(&config.state_dir)?;
        let mut governed: Vec<Governed> = slots.into_iter().map(show).collect();
        governed.sort_by_key(|one| std::cmp::Reverse(one.state));
        Ok(governed)
    }

    /// Forgets what was counted under the key, or everything: the next crashes are kept whole
    /// again. Returns how many were forgotten. Blocks on disk.
    ///
    /// # Errors
    /// When its table cannot be changed.
    pub fn release_governed(&self, key: Option<&str>) -> io::Result<u64> {
        let forgotten = governor::reset(&self.inner.config.state_dir, key)?;
        tracing::info!(key, forgotten, "governor reset");
        Ok(forgotten)
    }
}

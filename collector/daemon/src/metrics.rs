//! What a monitoring system reads: numbers since the start, and how things stand now.
//!
//! Names and units by Prometheus' conventions. A label's values come from a fixed list, except
//! images, of which only so many are told apart: containers name them.

use crate::daemon::{Daemon, Inner};
use crate::status::DaemonStatus;
use aground_helper::record::{Kept, Record};
use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Images told apart; crashes of all others are counted together.
const IMAGES_MAX: usize = 200;
/// Longer names of images are cut, characters.
const IMAGE_CHARS_MAX: usize = 200;
/// What crashes of further images are counted as.
const OTHER: &str = "other";

/// Counted since the daemon started.
pub(crate) struct Metrics {
    registry: Registry,
    images: Mutex<BTreeSet<String>>,
    crashes: IntCounterVec,
    incomplete: IntCounterVec,
    hold: Histogram,
    core: Histogram,
    waited: Histogram,
    analysis: Histogram,
    analyses: IntCounterVec,
    now: Now,
}

/// How things stand; set whenever they are read.
struct Now {
    dumps: IntGauge,
    groups: IntGaugeVec,
    bytes: IntGaugeVec,
    free: IntGauge,
    spool: IntGaugeVec,
    queue: IntGaugeVec,
    oldest: Gauge,
    resident: IntGauge,
    started: IntGauge,
    listeners: IntGauge,
    installed: IntGauge,
    rejected: IntGauge,
    engines: IntGaugeVec,
}

impl Now {
    fn new(maker: &Maker) -> prometheus::Result<Self> {
        Ok(Now {
            dumps: maker.gauge("aground_dumps", "Dumps in the store.")?,
            groups: maker.gauges("aground_groups", "Groups by state.", "state")?,
            bytes: maker.gauges("aground_store_bytes", "Bytes on disk.", "of")?,
            free: maker.gauge(
                "aground_store_free_bytes",
                "Bytes free on the store's file system.",
            )?,
            spool: maker.gauges("aground_spool_entries", "Crashes in the spool.", "stage")?,
            queue: maker.gauges(
                "aground_queue_dumps",
                "Dumps by the state of their analysis.",
                "state",
            )?,
            oldest: maker.keep(Gauge::new(
                "aground_queue_oldest_seconds",
                "Age of the oldest waiting analysis.",
            )?)?,
            resident: maker.gauge("aground_resident_bytes", "Resident memory of the daemon.")?,
            started: maker.gauge(
                "aground_start_time_seconds",
                "When the daemon started, since the epoch.",
            )?,
            listeners: maker.gauge("aground_event_listeners", "Who follows events.")?,
            installed: maker.gauge(
                "aground_installed",
                "Whether the kernel hands crashes to this service.",
            )?,
            rejected: maker.gauge(
                "aground_rejected_entries",
                "Spool entries that were put aside since they cannot be taken in.",
            )?,
            engines: maker.gauges(
                "aground_engine_up",
                "Whether a container engine's events are followed.",
                "runtime",
            )?,
        })
    }
}

/// Makes metrics that are read together.
struct Maker(Registry);

impl Maker {
    fn keep<C: Collector + Clone + 'static>(&self, metric: C) -> prometheus::Result<C> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.keep(IntGauge::new(name, help)?)
    }

    fn gauges(&self, name: &str, help: &str, label: &str) -> prometheus::Result<IntGaugeVec> {
        self.keep(IntGaugeVec::new(Opts::new(name, help), &[label])?)
    }

    /// Each bucket is four times as large as the one before.
    fn histogram(&self, name: &str, help: &str, smallest: f64) -> prometheus::Result<Histogram> {
        let buckets = prometheus::exponential_buckets(smallest, 4.0, 10)?;
        self.keep(Histogram::with_opts(
            HistogramOpts::new(name, help).buckets(buckets),
        )?)
    }
}

impl Metrics {
    pub(crate) fn new() -> prometheus::Result<Self> {
        let maker = Maker(Registry::new());
        let metrics = Metrics {
            crashes: maker.counters(
                "aground_crashes_total",
                "Crashes taken in, by image, signal and what was kept of memory.",
                &["image", "signal", "kept"],
            )?,
            incomplete: maker.counters(
                "aground_incomplete_total",
                "Crashes of which less was kept than the policy asked for.",
                &["what"],
            )?,
            hold: maker.histogram(
                "aground_hold_seconds",
                "How long the kernel kept dead processes waiting for the helper.",
                0.001,
            )?,
            core: maker.histogram(
                "aground_core_bytes",
                "Size of cores as the kernel announced them.",
                1_048_576.0,
            )?,
            waited: maker.histogram(
                "aground_queue_wait_seconds",
                "How long dumps waited for their analysis.",
                0.01,
            )?,
            analysis: maker.histogram(
                "aground_analysis_seconds",
                "How long analyses took.",
                0.01,
            )?,
            analyses: maker.counters(
                "aground_analyses_total",
                "Analyses by how they ended.",
                &["end"],
            )?,
            now: Now::new(&maker)?,
            images: Mutex::default(),
            registry: maker.0,
        };
        for end in [End::Done, End::Stopped, End::Failed] {
            metrics.analyses.with_label_values(&[end.as_str()]);
        }
        Ok(metrics)
    }

    /// A crash was taken in.
    pub(crate) fn crash(&self, record: &Record) {
        let image = record.container.as_ref().and_then(|it| it.image.as_deref());
        let image = self.image(image.unwrap_or_default());
        let capture = &record.capture;
        let kept = match capture.kept {
            Kept::Full => "full",
            Kept::Lean => "lean",
            Kept::Partial => "partial",
            Kept::None => "none",
        };
        self.crashes
            .with_label_values(&[image.as_str(), signal(&record.signal.name), kept])
            .inc();
        if capture.truncated {
            self.incomplete.with_label_values(&["core"]).inc();
        }
        if record.modules.iter().any(|module| module.missing.is_some()) {
            self.incomplete.with_label_values(&["modules"]).inc();
        }
        if let Some(microseconds) = capture.hold_us {
            self.hold
                .observe(Duration::from_micros(microseconds).as_secs_f64());
        }
        if let Some(bytes) = capture.core_size {
            self.core.observe(approximately(bytes));
        }
    }

    /// An analysis ended.
    pub(crate) fn analysis(&self, end: End, took: Duration) {
        self.analyses.with_label_values(&[end.as_str()]).inc();
        self.analysis.observe(took.as_secs_f64());
    }

    /// An analysis starts that was queued so long ago.
    pub(crate) fn waited(&self, in_queue: Duration) {
        self.waited.observe(in_queue.as_secs_f64());
    }

    fn image(&self, name: &str) -> String {
        let name: String = name.chars().take(IMAGE_CHARS_MAX).collect();
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        if images.len() < IMAGES_MAX {
            images.insert(name.clone());
        }
        if images.contains(&name) {
            name
        } else {
            OTHER.to_owned()
        }
    }

    fn stand(&self, status: &DaemonStatus, groups: &[(String, u64)], listeners: usize) {
        let now = &self.now;
        let store = &status.store;
        now.dumps.set(signed(store.dumps));
        now.groups.reset();
        for (state, count) in groups {
            now.groups
                .with_label_values(&[state.as_str()])
                .set(signed(*count));
        }
        for (of, bytes) in [
            ("cores", store.core_bytes),
            ("modules", store.module_bytes),
            ("database", store.database_bytes),
            ("symbols", status.symbols.bytes),
        ] {
            now.bytes.with_label_values(&[of]).set(signed(bytes));
        }
        now.free.set(signed(store.free_bytes));
        for (stage, entries) in [
            ("incoming", status.spool_incoming),
            ("ready", status.spool_ready),
        ] {
            now.spool.with_label_values(&[stage]).set(signed(entries));
        }
        let analyzing = u64::try_from(status.analyzing.len()).unwrap_or(u64::MAX);
        for (state, dumps) in [
            ("pending", store.pending.saturating_sub(analyzing)),
            ("analyzing", analyzing),
            ("failed", store.failed),
        ] {
            now.queue.with_label_values(&[state]).set(signed(dumps));
        }
        let oldest = Duration::from_millis(store.oldest_pending_ms.unwrap_or(0));
        now.oldest.set(oldest.as_secs_f64());
        now.resident.set(signed(status.resident_bytes));
        now.started.set(status.started_at_ms / 1000);
        now.listeners
            .set(i64::try_from(listeners).unwrap_or(i64::MAX));
        now.installed.set(i64::from(status.installed));
        now.rejected
            .set(i64::try_from(status.rejected.len()).unwrap_or(i64::MAX));
        now.engines.reset();
        for engine in &status.engines {
            let up = i64::from(engine.trouble.is_none());
            now.engines
                .with_label_values(&[engine.runtime.as_str()])
                .set(up);
        }
    }
}

/// How an analysis ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a report.
    Done,
    /// It took too long or too much memory.
    Stopped,
    /// Otherwise.
    Failed,
}

impl End {
    fn as_str(self) -> &'static str {
        match self {
            End::Done => "done",
            End::Stopped => "stopped",
            End::Failed => "failed",
        }
    }
}

impl Daemon {
    /// All metrics in Prometheus' text format. Blocks on disk.
    pub fn metrics(&self) -> String {
        let groups = self.inner.store.groups_by_state().unwrap_or_default();
        self.inner.metrics(&self.status(), &groups)
    }
}

impl Inner {
    fn metrics(&self, status: &DaemonStatus, groups: &[(String, u64)]) -> String {
        self.metrics.stand(status, groups, self.listeners());
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.metrics.registry.gather(), &mut text);
        if let Err(error) = encoded {
            tracing::error!(%error, "could not write the metrics");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// A record may hold any text as the name of its signal.
fn signal(name: &str) -> &str {
    let is_name = name.starts_with("SIG")
        && name.len() <= 12
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-".contains(&byte));
    if is_name { name } else { OTHER }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "buckets are far apart")]
fn approximately(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_beyond_the_limit_are_counted_together() {
        let metrics = Metrics::new().expect("metrics");
        for number in 0..IMAGES_MAX {
            assert_eq!(metrics.image(&number.to_string()), number.to_string());
        }
        assert_eq!(metrics.image("one more"), OTHER);
        assert_eq!(metrics.image("7"), "7");
    }

    #[test]
    fn only_names_of_signals_are_labels() {
        assert_eq!(signal("SIGSEGV"), "SIGSEGV");
        assert_eq!(signal("SIGRTMIN+3"), "SIGRTMIN+3");
        for odd in ["", "SIG\"x", "SIGSEGVSIGSEGVSIGSEGV", "11"] {
            assert_eq!(signal(odd), OTHER);
        }
    }
}

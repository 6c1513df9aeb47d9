//! What the service does with the processor, on an address of its own (`debug_listen`).

use crate::guard;
use crate::problem::Problem;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use axum::{Router, extract::rejection::QueryRejection};
use pprof::{Frames, ProfilerGuardBuilder};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Samples per second; not a round number, so as not to fall in with what happens by the clock.
const FREQUENCY: i32 = 99;
/// The longest profile, seconds.
const LONGEST: u64 = 300;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default = "usual")]
    seconds: u64,
}

const fn usual() -> u64 {
    10
}

/// The routes of the address.
pub fn router(listen: SocketAddr) -> Router {
    Router::new()
        .route("/debug/profile", get(profile))
        .fallback(crate::api::health::no_such_page)
        .layer(from_fn_with_state(listen, guard::refuse_foreign_hosts))
        .layer(from_fn(guard::harden_responses))
}

/// `GET /debug/profile?seconds=10`: a line per stack, outermost function first, with how many
/// samples found it: what `flamegraph.pl`, `inferno` and speedscope read.
async fn profile(asked: Result<Query<Asked>, QueryRejection>) -> Result<String, Problem> {
    let Query(Asked { seconds }) =
        asked.map_err(|error| Problem::bad_parameter(error.body_text()))?;
    if !(1..=LONGEST).contains(&seconds) {
        let detail = format!("seconds={seconds}: use 1 to {LONGEST}");
        return Err(Problem::bad_parameter(detail));
    }
    // Unwinding in these from a signal may wait for a lock that the interrupted thread holds.
    let profiler = ProfilerGuardBuilder::default()
        .frequency(FREQUENCY)
        .blocklist(&["libc", "libgcc", "pthread", "vdso"])
        .build()
        .map_err(busy)?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let stacks = tokio::task::spawn_blocking(move || {
        let report = profiler.report().build().map_err(busy)?;
        Ok::<_, Problem>(folded(
            report.data.iter().map(|(stack, count)| (stack, *count)),
        ))
    });
    stacks.await?
}

fn busy(error: pprof::Error) -> Problem {
    match error {
        pprof::Error::Running => Problem::new(
            StatusCode::CONFLICT,
            "profile-running",
            "a profile is being taken; there is one at a time",
        ),
        other => Problem::internal(&other),
    }
}

fn folded<'a>(stacks: impl Iterator<Item = (&'a Frames, isize)>) -> String {
    use std::fmt::Write;
    let mut lines: BTreeMap<String, isize> = BTreeMap::new();
    for (stack, count) in stacks {
        // Inlined functions come before those that hold them.
        let functions = stack.frames.iter().flatten().rev().map(pprof::Symbol::name);
        let line = std::iter::once(stack.thread_name.clone()).chain(functions);
        let line = line.collect::<Vec<_>>().join(";");
        *lines.entry(line).or_default() += count;
    }
    lines.iter().fold(String::new(), |mut text, (line, count)| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line} {count}");
        text
    })
}

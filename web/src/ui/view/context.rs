//! What surrounded the process at death, as names and values.

use super::facts::{Fact, Facts};
use super::{bytes, text, time};
use aground_helper::record::{Context, Mount, Resources, Socket};

/// Use and limits of the container's cgroup.
pub fn resources(resources: &Resources) -> Vec<Fact> {
    let mut facts = Facts::default();
    facts.word("Memory", of(resources.memory_current, resources.memory_max));
    facts.word("Most memory", resources.memory_peak.map(bytes::size));
    let hits = counted(resources.memory_max_hits, "time", "times");
    facts.word("Memory limit hit", hits);
    facts.word(
        "Out of memory",
        counted(resources.oom_events, "time", "times"),
    );
    let kills = counted(resources.oom_kills, "process", "processes");
    facts.word("Killed for memory", kills);
    let millis = resources.cpu_millis;
    facts.word(
        "Processor limit",
        millis.map(|millis| format!("{}.{:03} of one", millis / 1000, millis % 1000)),
    );
    let throttled = resources
        .cpu_throttled_periods
        .filter(|periods| *periods > 0);
    let periods = resources.cpu_periods.unwrap_or(0);
    let waited = resources.cpu_throttled_us.map(time::short_span);
    facts.word(
        "Throttled",
        throttled.map(|throttled| {
            let waited = waited.map_or(String::new(), |waited| format!(", {waited} in all"));
            format!("in {throttled} of {periods} periods{waited}")
        }),
    );
    let tasks = resources.pids_current.map(text::grouped);
    let most = resources.pids_max.map(text::grouped);
    facts.word(
        "Tasks",
        tasks.map(|tasks| match most {
            Some(most) => format!("{tasks} of {most}"),
            None => tasks,
        }),
    );
    facts.0
}

fn of(current: Option<u64>, max: Option<u64>) -> Option<String> {
    let current = bytes::size(current?);
    Some(match max {
        Some(max) => format!("{current} of {}", bytes::size(max)),
        None => format!("{current}, no limit"),
    })
}

fn counted(count: Option<u64>, one: &str, many: &str) -> Option<String> {
    let count = count.filter(|count| *count > 0)?;
    let unit = if count == 1 { one } else { many };
    Some(format!("{} {unit}", text::grouped(count)))
}

/// What confined the process, and the processor it ran on.
pub fn confinement(context: &Context) -> Vec<Fact> {
    let mut facts = Facts::default();
    let security = &context.security;
    facts.code("Security profile", security.profile.clone());
    facts.word("Seccomp", security.seccomp.clone());
    let gains = security.no_new_privileges;
    facts.word(
        "New privileges",
        gains.map(|none| if none { "never" } else { "possible" }.to_owned()),
    );
    facts.code("Capabilities", security.capabilities.clone());
    facts.word("Shared with the host", security.host_namespaces.join(", "));
    let adjusted = security.oom_score_adjust.filter(|score| *score != 0);
    facts.word("OOM score", adjusted.map(|score| format!("{score:+}")));
    facts.word("Processor", context.cpu.model.clone());
    facts.code("Microcode", context.cpu.microcode.clone());
    facts.0
}

/// A socket: its descriptor and the rest in one line.
pub fn socket(socket: &Socket) -> (i32, String) {
    let peer = socket.peer.as_deref().map(|peer| format!(" → {peer}"));
    let line = format!(
        "{} {} {}{}",
        socket.protocol,
        socket.state,
        socket.local,
        peer.unwrap_or_default()
    );
    (socket.fd, text::clip(&line, 300))
}

/// A mount: its path and the rest in one line.
pub fn mount(mount: &Mount) -> (String, String) {
    let mode = if mount.read_only { "read-only " } else { "" };
    let below = match mount.root.as_str() {
        "/" | "" => String::new(),
        root => format!(" {root}"),
    };
    let line = format!("{mode}{} {}{below}", mount.kind, mount.source);
    (text::clip(&mount.path, 300), text::clip(&line, 600))
}

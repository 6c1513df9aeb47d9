//! Makes crashes: records and reports of made-up bugs, the same ones every time.

use aground_analyzer::report::{
    Address, Cause, CoreFacts, Frame, Module, ProcessFacts, Report, Signature, SignatureFrame,
    Thread, Trust,
};
use aground_helper::id::DumpId;
use aground_helper::record::{
    Capture, CaptureState, Container, Host, Kept, KernelFacts, Process, Record, Signal,
};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Hosts of the fleet.
pub const HOSTS: u64 = 60;
/// Services, each with an executable and an image of several versions.
pub const SERVICES: u64 = 200;
/// Containers of one service over time.
const REPLICAS: u64 = 250;
/// Functions that many bugs go through.
const HOT: u64 = 60;
/// One crash in so many was built otherwise: a function is missing in its signature.
const INLINED: u64 = 50;
const MONTH_MS: i64 = 30 * 24 * 60 * 60 * 1000;

const VERBS: [&str; 24] = [
    "parse", "read", "write", "open", "close", "flush", "decode", "encode", "accept", "send",
    "merge", "split", "sort", "find", "insert", "remove", "lock", "unlock", "resize", "copy",
    "check", "load", "store", "handle",
];
const NOUNS: [&str; 32] = [
    "header", "request", "reply", "packet", "frame", "buffer", "cache", "index", "table", "row",
    "column", "page", "block", "journal", "queue", "timer", "socket", "stream", "message", "token",
    "session", "cookie", "user", "order", "price", "image", "pixel", "tree", "node", "edge",
    "graph", "batch",
];

/// A source of numbers that says the same every time (splitmix64).
pub struct Numbers(pub u64);

impl Numbers {
    /// The next of them, below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }
}

/// Which bug the crash of a number is: the first crashes meet each bug once, later ones meet few
/// bugs often and many seldom.
pub fn bug_of(number: u64, bugs: u64, crashes: u64) -> u64 {
    let mut numbers = Numbers(number);
    // Bugs appear over the first half of the time.
    let known = (number * 2 * bugs / crashes.max(1) + 1).min(bugs);
    let fresh = number * 2 * bugs % crashes.max(1) < 2 * bugs;
    if fresh && number * 2 < crashes {
        return known - 1;
    }
    // The product of two even draws: a tenth of the bugs has a third of the crashes.
    let draw = numbers.below(1 << 16) * numbers.below(1 << 16);
    let skewed = (u128::from(draw) * u128::from(known)) >> 32;
    u64::try_from(skewed).unwrap_or(0)
}

/// One crash.
pub struct Crash {
    /// What the helper would have written.
    pub record: Record,
    /// What the analyzer would have concluded.
    pub report: Report,
    /// The container's last lines; many have none.
    pub log: Option<String>,
}

impl Crash {
    /// The crash of a number among so many, the last of them now.
    pub fn new(number: u64, crashes: u64, bugs: u64, now_ms: i64) -> Self {
        let bug = bug_of(number, bugs, crashes);
        let mut chance = Numbers(number ^ 0x5eed);
        let place = Place::new(bug, &mut chance);
        let spread = i128::from(MONTH_MS) * i128::from(crashes - number) / i128::from(crashes);
        let at_ms = now_ms - i64::try_from(spread).unwrap_or(0);
        let functions = stack(bug, chance.below(5));
        Self {
            log: number.is_multiple_of(4).then(|| log(number, &mut chance)),
            record: record(number, at_ms, &place, &mut chance),
            report: report(bug, &functions, &place, (number, &mut chance)),
        }
    }
}

/// Where a crash happens.
struct Place {
    service: u64,
    version: u64,
    host: u64,
    replica: u64,
}

impl Place {
    fn new(bug: u64, chance: &mut Numbers) -> Self {
        // A bug is one program's; some bugs stay on one host, as those of bad memory do.
        let mut fixed = Numbers(bug ^ 0xfee1);
        let service = fixed.below(SERVICES);
        let home = fixed.below(HOSTS);
        let lonely = fixed.below(20) == 0;
        Self {
            service,
            version: chance.below(8),
            host: if lonely { home } else { chance.below(HOSTS) },
            replica: chance.below(REPLICAS),
        }
    }
}

/// Name of the function of a number.
pub fn function(number: u64) -> String {
    let mut draw = Numbers(number);
    let (verb, noun) = (draw.below(24), draw.below(32));
    let name = |list: &[&str], at: u64| list[usize::try_from(at).unwrap_or(0)].to_owned();
    format!("{}_{}_{number}", name(&VERBS, verb), name(&NOUNS, noun))
}

/// The functions of a bug, innermost first, reached by one of several paths.
fn stack(bug: u64, path: u64) -> Vec<u64> {
    let mut draw = Numbers(bug ^ 0xb16);
    let mut inner = (0..3).map(|_| draw.below(30_000)).collect::<Vec<_>>();
    // One that hundreds of bugs go through.
    inner.push(30_000 + draw.below(HOT));
    let mut way = Numbers(bug ^ (path << 40));
    let outer = (0..8 + way.below(8)).map(|_| way.below(4_000)).collect();
    [inner, outer].concat()
}

fn sha256(text: &str) -> String {
    let mut digits = String::new();
    for byte in Sha256::digest(text) {
        // Writing to a String cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

fn record(number: u64, at_ms: i64, place: &Place, chance: &mut Numbers) -> Record {
    let mut bytes = [0; 16];
    let hash = Sha256::digest(number.to_le_bytes());
    bytes.copy_from_slice(&hash[..16]);
    let executable = format!("/srv/service{}/bin/server", place.service);
    let port = 8000 + place.service;
    let mut record = Record {
        schema: 1,
        id: DumpId::from_bytes(bytes),
        captured_at_ms: at_ms,
        signal: Signal {
            number: 11,
            name: "SIGSEGV".to_owned(),
        },
        kernel: KernelFacts {
            pid: i32::try_from(1000 + number % 4_000_000).unwrap_or(1),
            uid: Some(1000),
            ..KernelFacts::default()
        },
        process: Process {
            pid: i32::try_from(1000 + number % 4_000_000).unwrap_or(1),
            name: format!("service{}", place.service),
            executable: Some(executable.clone()),
            args: vec![
                executable,
                format!("--port={port}"),
                "--config=/etc/service.toml".to_owned(),
                format!("--workers={}", 1 << chance.below(5)),
            ],
            ..Process::default()
        },
        container: Some(container(place)),
        host: Host {
            hostname: format!("node{:02}", place.host),
            machine_id: Some(sha256(&format!("machine {}", place.host))[..32].to_owned()),
            boot_id: Some(sha256(&format!("boot {} {}", place.host, chance.below(4)))),
            kernel: format!("6.{}.0-{}-amd64", 1 + place.host % 5, 20 + place.host % 3),
            arch: "x86_64".to_owned(),
            aground: "0.1.0".to_owned(),
        },
        capture: Capture {
            state: CaptureState::Complete,
            kept: Kept::None,
            reason: Some("the policy asks for the record alone".to_owned()),
            hold_us: Some(2000 + chance.below(3000)),
            ..Capture::default()
        },
        ..Record::default()
    };
    record.context.cpu.model = Some(format!("Processor {}", place.host % 7));
    record
}

fn container(place: &Place) -> Container {
    let Place {
        service, version, ..
    } = place;
    let name = format!("service{service}-{}-{}", place.replica, place.host);
    let label = |key: &str, value: String| (key.to_owned(), value);
    Container {
        runtime: "docker".to_owned(),
        id: sha256(&name),
        name: Some(name),
        image: Some(format!("registry.example/service{service}:1.{version}")),
        image_id: Some(format!(
            "sha256:{}",
            sha256(&format!("{service} {version}"))
        )),
        image_digests: vec![format!(
            "registry.example/service{service}@sha256:{}",
            sha256(&format!("digest {service} {version}"))
        )],
        labels: BTreeMap::from([
            label("team", format!("team{}", service % 12)),
            label("tier", format!("tier{}", service % 3)),
            label(
                "com.docker.compose.project",
                format!("shop{}", service % 20),
            ),
            label("com.docker.compose.service", format!("service{service}")),
            label("version", format!("1.{version}")),
        ]),
        ..Container::default()
    }
}

fn report(
    bug: u64,
    functions: &[u64],
    place: &Place,
    (number, chance): (u64, &mut Numbers),
) -> Report {
    let executable = format!("/srv/service{}/bin/server", place.service);
    let build_id = sha256(&format!("build {} {}", place.service, place.version))[..40].to_owned();
    let frame = |(index, number): (usize, &u64)| Frame {
        index,
        pc: Address(0x40_0000 + number * 64),
        module: Some(executable.clone()),
        build_id: Some(build_id.clone()),
        offset: Some(Address(number * 64)),
        function: Some(function(*number)),
        linkage_name: Some(function(*number)),
        file: Some(format!(
            "/src/service{}/part{}.c",
            place.service,
            number % 300
        )),
        line: u32::try_from(10 + number % 900).ok(),
        trust: Trust::Cfi,
        in_app: true,
        ..Frame::default()
    };
    let kept = |number: &u64| SignatureFrame {
        function: function(*number),
        kept: true,
        ..SignatureFrame::default()
    };
    // What groups is the bug's own part of the stack.
    let counting = if number % INLINED == INLINED - 1 {
        3
    } else {
        4
    };
    let own: Vec<SignatureFrame> = functions.iter().take(counting).map(kept).collect();
    let title: Vec<&str> = own.iter().map(|frame| frame.function.as_str()).collect();
    let cause = [
        "null-dereference",
        "assertion",
        "invalid-address",
        "heap-corruption",
    ];
    let kind = cause[usize::try_from(bug % 4).unwrap_or(0)];
    Report {
        schema: 1,
        core: CoreFacts {
            arch: "x86_64".to_owned(),
            kept: "none".to_owned(),
            ..CoreFacts::default()
        },
        process: ProcessFacts {
            executable: Some(executable.clone()),
            ..ProcessFacts::default()
        },
        cause: Cause {
            kind: kind.to_owned(),
            title: format!("{kind} in {}", function(functions[0])),
            message: Some(format!(
                "request {} of tenant{} failed",
                chance.below(1_000_000),
                chance.below(500)
            )),
            confidence: "certain".to_owned(),
            ..Cause::default()
        },
        site: None,
        threads: vec![Thread {
            tid: 1,
            crashed: true,
            frames: functions.iter().enumerate().map(frame).collect(),
            ..Thread::default()
        }],
        deadlocks: vec![],
        modules: vec![Module {
            path: executable.clone(),
            build_id: Some(build_id.clone()),
            ..Module::default()
        }],
        runtimes: vec![],
        signature: Signature {
            version: 1,
            kind: "symbolic".to_owned(),
            title: title.join(" | "),
            hash: sha256(&title.join("\n")),
            class: kind.to_owned(),
            frames: own,
            ..Signature::default()
        },
        revision: 0,
        partial: None,
        warnings: vec![],
    }
}

/// The last lines of a container.
fn log(number: u64, chance: &mut Numbers) -> String {
    let line = |_| {
        let noun = NOUNS[usize::try_from(chance.below(32)).unwrap_or(0)];
        format!(
            "2026-11-20T10:00:00Z level=info msg=\"{noun} done\" request={:x}\n",
            number.wrapping_mul(977) + chance.below(64)
        )
    };
    (0..12).map(line).collect()
}

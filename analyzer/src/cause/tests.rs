//! What cannot be had from a program under a debugger: a process that was PID 1, and registers
//! and signals that no program asks for.

use super::*;
use crate::report::Address;
use crate::scene::Mapping;
use std::collections::BTreeMap;

/// A crash as a table of facts.
struct Fake {
    signal: Signal,
    registers: BTreeMap<&'static str, u64>,
    frames: Vec<Frame>,
    memory: BTreeMap<u64, Vec<u8>>,
    mappings: Vec<Mapping>,
    symbols: BTreeMap<&'static str, u64>,
}

const CODE: u64 = 0x40_1000;

/// A crash in code of the given bytes, within the given functions.
fn crash(signal: &str, code: i32, address: Option<u64>, bytes: &[u8], functions: &[&str]) -> Fake {
    let frame = |name: &&str| Frame {
        function: Some((*name).to_owned()),
        module: Some("/app/server".to_owned()),
        in_app: group::in_app(Some("/app/server"), Some(name)),
        ..Frame::default()
    };
    Fake {
        signal: Signal {
            name: signal.to_owned(),
            code: Some(code),
            address: address.map(Address),
            ..Signal::default()
        },
        registers: BTreeMap::from([("rip", CODE), ("rsp", 0x7fff_0000_0000)]),
        frames: functions.iter().map(frame).collect(),
        memory: BTreeMap::from([(CODE, bytes.to_vec())]),
        mappings: vec![Mapping {
            start: CODE,
            end: CODE + 0x1000,
            readable: true,
            writable: false,
            executable: true,
            path: Some("/app/server".to_owned()),
        }],
        symbols: BTreeMap::new(),
    }
}

impl Scene for Fake {
    fn arch(&self) -> &'static str {
        "x86_64"
    }
    fn signal(&self) -> &Signal {
        &self.signal
    }
    fn executable(&self) -> Option<&str> {
        Some("/app/server")
    }
    fn register(&self, name: &str) -> Option<u64> {
        self.registers.get(name).copied()
    }
    fn frames(&self) -> &[Frame] {
        &self.frames
    }
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
        let Some((start, bytes)) = self.memory.range(..=address).next_back() else {
            return false;
        };
        let from = usize::try_from(address - start).unwrap_or(usize::MAX);
        let piece = bytes.get(from..).and_then(|rest| rest.get(..buffer.len()));
        piece.map(|piece| buffer.copy_from_slice(piece)).is_some()
    }
    fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }
    fn symbol(&self, _: &str, name: &str) -> Option<(u64, u64)> {
        self.symbols.get(name).map(|address| (*address, 8))
    }
    fn frame_register(&self, _: usize, name: &str) -> Option<u64> {
        self.register(name)
    }
}

#[track_caller]
fn check(fake: &Fake, kind: &str, title: &str) -> Cause {
    let cause = explain(fake);
    assert_eq!(
        (cause.kind.as_str(), cause.title.as_str()),
        (kind, title),
        "{cause:#?}"
    );
    cause
}

#[test]
fn abort_of_pid_1_is_an_abort() {
    let hlt = [0xf4, 0x90];
    let functions = ["abort", "__assert_fail", "balance", "main"];
    let mut fake = crash("SIGSEGV", SI_KERNEL, Some(0), &hlt, &functions);
    let cause = check(&fake, "assertion", "assertion failed in balance");
    assert!(
        cause.evidence.iter().any(|line| line.contains("PID 1")),
        "{cause:?}"
    );

    // With libc's message at hand it is quoted.
    let text = [
        &[0; 4],
        b"p: p.c:7: balance: Assertion `cents >= 0' failed.\n\0".as_slice(),
    ]
    .concat();
    fake.symbols.insert("__abort_msg", 0x5000);
    fake.memory
        .insert(0x5000, 0x6000_u64.to_le_bytes().to_vec());
    fake.memory.insert(0x6000, [text, vec![0; 512]].concat());
    check(
        &fake,
        "assertion",
        "assertion 'cents >= 0' failed in balance",
    );

    // The same fault elsewhere is no abort.
    check(
        &crash("SIGSEGV", SI_KERNEL, Some(0), &hlt, &["idle", "main"]),
        "illegal-instruction",
        "privileged instruction `hlt` in idle",
    );
}

#[test]
fn operands_tell_what_the_kernel_does_not() {
    let mov = [0x48, 0x8b, 0x07]; // mov rax, [rdi]
    let mut fake = crash("SIGSEGV", SI_KERNEL, Some(0), &mov, &["next", "main"]);
    fake.registers.insert("rdi", 0x2f72_6573_752f_3a65);
    check(
        &fake,
        "non-canonical-address",
        "read of non-canonical address 0x2f726573752f3a65 in next",
    );
    fake.registers.insert("rdi", 0xdead_beef_dead_beef);
    check(
        &fake,
        "freed-memory",
        "read of non-canonical address 0xdeadbeefdeadbeef in next",
    );
    let mut fake = crash(
        "SIGSEGV",
        1,
        Some(0x6b6b_6b6b_6b6b),
        &mov,
        &["next", "main"],
    );
    fake.registers.insert("rdi", 0x6b6b_6b6b_6b6b);
    let cause = check(&fake, "freed-memory", "read of 0x6b6b6b6b6b6b in next");
    assert_eq!(cause.confidence, "likely");
}

#[test]
fn signals_that_somebody_sent() {
    let mut fake = crash(
        "SIGABRT",
        SI_USER,
        None,
        &[0x90],
        &["epoll_wait", "serve", "main"],
    );
    fake.signal.sender_pid = Some(17);
    check(
        &fake,
        "killed-by",
        "SIGABRT sent by process 17 while in epoll_wait",
    );
    fake.signal.name = "SIGQUIT".to_owned();
    check(
        &fake,
        "quit",
        "SIGQUIT sent by process 17 while in epoll_wait",
    );
}

#[test]
fn absurd_facts_are_borne() {
    for code in [i32::MIN, -7, 0, 1, 2, 3, 0x80, i32::MAX] {
        for address in [None, Some(0), Some(u64::MAX), Some(1 << 47)] {
            for name in [
                "SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS", "SIGABRT", "SIG99",
                "",
            ] {
                let mut fake = crash(name, code, address, &[0xff; 15], &["f"]);
                fake.registers.insert("rsp", u64::MAX - 3);
                assert!(!explain(&fake).kind.is_empty());
                fake.registers.clear();
                fake.frames.clear();
                assert!(!explain(&fake).title.is_empty());
            }
        }
    }
    let cause = of_signal(
        &Signal {
            name: "SIGSEGV".to_owned(),
            ..Signal::default()
        },
        Some("/app/server"),
    );
    assert_eq!(cause.title, "SIGSEGV in server");
}

//! What cannot be had from a program under a debugger: a process that was PID 1, and registers
//! and signals that no program asks for.

use super::*;
use crate::report::Address;
use crate::scene::{Function, Mapping};
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
    fn pid(&self) -> Option<i32> {
        Some(1)
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
    fn function(&self, address: u64) -> Option<Function> {
        (address.wrapping_sub(CODE) < 0x1000).then(|| Function {
            start: CODE,
            size: 0x1000,
            name: "first".to_owned(),
        })
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

#[test]
fn handlers_are_looked_behind() {
    let store = [0xc7, 0x07, 0x01, 0x00, 0x00, 0x00]; // mov dword ptr [rdi], 1
    let sent = |functions: &[&str]| {
        let mut fake = crash("SIGSEGV", SI_TKILL, None, &store, functions);
        fake.signal.sender_pid = Some(7);
        fake
    };

    // A handler raised its own signal while that was blocked, and returned.
    let mut fake = sent(&["parse", "main"]);
    fake.registers.insert("rdi", 0);
    let cause = check(&fake, "null-dereference", "write to 0x0 in parse");
    assert_eq!(cause.confidence, "likely", "{cause:#?}");
    assert_eq!(handler_frames(&fake), 0);

    // An instruction that does not fault was merely where the signal came.
    fake.registers.insert("rdi", 0x50_0000);
    fake.mappings.push(Mapping {
        start: 0x50_0000,
        end: 0x50_1000,
        readable: true,
        writable: true,
        executable: false,
        path: None,
    });
    check(
        &fake,
        "killed-by",
        "SIGSEGV sent by process 7 while in parse",
    );

    // The handler is still on the stack, and the kernel's siginfo above its frame.
    let mut fake = crash(
        "SIGABRT",
        SI_TKILL,
        None,
        &store,
        &["abort", "on_fault", "__restore_rt", "parse", "main"],
    );
    fake.frames[2].signal_trampoline = true;
    fake.registers.insert("rdi", 0x1000);
    let mut siginfo = vec![0; 32];
    siginfo[..4].copy_from_slice(&11_i32.to_le_bytes());
    siginfo[8..12].copy_from_slice(&1_i32.to_le_bytes());
    siginfo[16..24].copy_from_slice(&0x1000_u64.to_le_bytes());
    fake.memory.insert(0x7fff_0000_0000 + 304, siginfo.clone());
    let cause = check(&fake, "near-null-access", "write to 0x1000 in parse");
    assert_eq!(cause.confidence, "certain");
    assert_eq!(handler_frames(&fake), 3);

    // A handler of a timer that fails is itself what failed.
    siginfo[..4].copy_from_slice(&14_i32.to_le_bytes());
    siginfo[8..12].copy_from_slice(&SI_KERNEL.to_le_bytes());
    fake.memory.insert(0x7fff_0000_0000 + 304, siginfo);
    check(&fake, "abort", "abort in on_fault");
    assert_eq!(handler_frames(&fake), 0);
}

#[test]
fn jumps_to_no_address_name_their_target() {
    let mut fake = crash(
        "SIGSEGV",
        SI_KERNEL,
        None,
        &[0xff, 0xd0], // call rax
        &["dispatch", "main"],
    );
    fake.registers.insert("rax", 0x4141_4141_4141_4141);
    check(
        &fake,
        "wild-jump",
        "jump to non-canonical address 0x4141414141414141 in dispatch",
    );
    let mut fake = crash("SIGSEGV", SI_KERNEL, None, &[0xc3], &["copy", "main"]);
    fake.memory.insert(
        0x7fff_0000_0000,
        0x4242_4242_4242_4242_u64.to_le_bytes().to_vec(),
    );
    check(
        &fake,
        "wild-jump",
        "return to non-canonical address 0x4242424242424242 in copy",
    );
}

#[test]
fn a_passed_breakpoint_is_shown() {
    let mut fake = crash("SIGTRAP", SI_KERNEL, None, &[0x90], &["check", "main"]);
    fake.memory.insert(CODE - 1, vec![0xcc, 0x90]);
    let cause = check(&fake, "compiler-trap", "breakpoint instruction in check");
    assert_eq!(cause.instruction.as_deref(), Some("int3"));
}

#[test]
fn memory_that_is_not_kept_is_not_shown() {
    let mov = [0x48, 0x8b, 0x07, 0xc3]; // mov rax, [rdi]; ret
    let mut fake = crash("SIGSEGV", 1, Some(0x5000), &mov, &["next", "main"]);
    fake.registers.insert("rdi", 0x5000);
    fake.memory.insert(0x5000, b"a secret".to_vec());
    let shown = site(&fake, false).expect("a site");
    assert_eq!(shown.memory.len(), 1, "{shown:#?}");
    assert!(shown.memory[0].bytes.contains("61 20 73 65"), "{shown:#?}");
    let withheld = site(&fake, true).expect("a site");
    assert_eq!(withheld.memory, []);
    assert!(withheld.memory_withheld && withheld.code == shown.code);
    assert_eq!(withheld.registers, shown.registers);
}

#[test]
fn absurd_places_are_borne() {
    for pc in [0, 1, CODE, CODE + 0xfff, u64::MAX - 3, u64::MAX] {
        for name in ["SIGSEGV", "SIGILL", "SIGTRAP", "SIGSYS"] {
            for bytes in [[0xff; 15], [0xc3; 15], [0; 15]] {
                let mut fake = crash(name, 1, Some(pc), &bytes, &["f", "g"]);
                fake.memory.insert(pc, bytes.to_vec());
                for register in ["rip", "rsp", "rax", "rdi"] {
                    fake.registers.insert(register, pc);
                }
                let shown = site(&fake, false).unwrap_or_default();
                assert!(
                    shown.code.len() < 20 && shown.memory.len() < 5,
                    "{shown:#?}"
                );
            }
        }
    }
}

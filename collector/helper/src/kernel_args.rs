//! Understands the arguments the kernel expands from our `core_pattern`.
//!
//! The literal is [`TEMPLATE`] behind the helper's path and the state directory. Anything may be
//! missing or absurd (an old kernel drops what it does not know; a person may run the helper):
//! that makes a problem sentence, never an error, because the crash must still be recorded.

use crate::record::{KernelFacts, Signal};
use crate::text::escape_bytes;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;

/// What follows the state directory in `core_pattern` (fs/coredump.c, `format_corename`).
pub const TEMPLATE: &str = "%P %I %i %u %g %s %t %c %d %F";

/// The largest process id there can be (`PID_MAX_LIMIT` on 64-bit kernels).
const PID_MAX: i32 = 1 << 22;

/// What the kernel said.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelArgs {
    /// Where to write.
    pub state_dir: PathBuf,
    /// The facts about the process; an unusable pid is 0.
    pub facts: KernelFacts,
    /// The signal (`%s`); number 0 when unusable.
    pub signal: Signal,
    /// Number of the descriptor that is a pidfd (`%F`).
    pub pidfd: Option<i32>,
    /// What could not be understood, a sentence each.
    pub problems: Vec<String>,
}

impl KernelArgs {
    /// Reads `args` (without the program's name).
    pub fn parse(args: &[OsString]) -> Self {
        let mut words = Words {
            args,
            problems: Vec::new(),
        };
        let state_dir = PathBuf::from(args.first().cloned().unwrap_or_default());
        let in_range = |pid: &i32| (1..=PID_MAX).contains(pid);
        let facts = KernelFacts {
            pid: words.number(1, "process id", in_range).unwrap_or(0),
            tid: words.number(2, "thread id", in_range),
            namespace_tid: words.number(3, "thread id in its namespace", in_range),
            uid: words.number(4, "user id", |_| true),
            gid: words.number(5, "group id", |_| true),
            time: words.number(7, "time", |time: &i64| *time >= 0),
            core_limit: words.number(8, "core limit", |_| true),
            dumpable: words.number(9, "dump mode", |mode: &u32| *mode <= 2),
            pidfd: false,
        };
        let signal = words
            .number(6, "signal", |signal| (1..=64).contains(signal))
            .unwrap_or(0);
        let pidfd = words.optional_number(10, "pidfd", |fd| (3..1024).contains(fd));
        Self {
            state_dir,
            facts,
            signal: signal_named(signal),
            pidfd,
            problems: words.problems,
        }
    }
}

struct Words<'a> {
    args: &'a [OsString],
    problems: Vec<String>,
}

impl Words<'_> {
    fn number<T: FromStr>(
        &mut self,
        index: usize,
        what: &str,
        valid: impl Fn(&T) -> bool,
    ) -> Option<T> {
        if self.args.get(index).is_none_or(|word| word.is_empty()) {
            self.problems
                .push(format!("the kernel's arguments lack the {what}"));
            return None;
        }
        self.optional_number(index, what, valid)
    }

    fn optional_number<T: FromStr>(
        &mut self,
        index: usize,
        what: &str,
        valid: impl Fn(&T) -> bool,
    ) -> Option<T> {
        let word = self
            .args
            .get(index)
            .map(OsString::as_os_str)
            .filter(|word| !word.is_empty())?;
        let number = word
            .to_str()
            .and_then(|text| text.parse().ok())
            .filter(valid);
        if number.is_none() {
            self.problems.push(format!(
                "the kernel's arguments give {} as {what}",
                quoted(word)
            ));
        }
        number
    }
}

fn quoted(word: &OsStr) -> String {
    format!("{:?}", escape_bytes(word.as_bytes(), 64))
}

/// The signal's number and the name this machine's kernel gives it.
pub fn signal_named(number: i32) -> Signal {
    // Only the signals whose default action is to dump core (signal(7)), and those that other
    // programs commonly die of, so that an injected number still reads well.
    let name = match number {
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSYS => "SIGSYS",
        libc::SIGKILL => "SIGKILL",
        libc::SIGTERM => "SIGTERM",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        _ => {
            return Signal {
                number,
                name: format!("SIG{number}"),
            };
        }
    };
    Signal {
        number,
        name: name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> KernelArgs {
        KernelArgs::parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_real_line_is_understood() {
        let args =
            parse("/var/lib/aground 4711 4713 9 1000 100 11 1700000000 18446744073709551615 1 3");
        assert_eq!(args.problems, Vec::<String>::new());
        assert_eq!(args.facts.pid, 4711);
        assert_eq!(args.facts.tid, Some(4713));
        assert_eq!(args.facts.namespace_tid, Some(9));
        assert_eq!((args.facts.uid, args.facts.gid), (Some(1000), Some(100)));
        assert_eq!(args.signal.name, "SIGSEGV");
        assert_eq!(args.facts.core_limit, Some(u64::MAX));
        assert_eq!(args.facts.dumpable, Some(1));
        assert_eq!(args.pidfd, Some(3));
    }

    #[test]
    fn an_old_kernel_leaves_the_pidfd_out() {
        for line in ["/s 1 1 1 0 0 6 1 0 2", "/s 1 1 1 0 0 6 1 0 2 "] {
            let args = parse(line);
            assert_eq!((args.pidfd, args.problems), (None, vec![]), "{line:?}");
        }
    }

    #[test]
    fn nothing_missing_or_absurd_is_an_error() {
        let cases = [
            ("/s", 9),
            ("/s -1 0 4194305 -1 4294967296 65 -1 -1 3 2", 10),
            ("/s x y z ü \u{202e} 999999999999999999999 %t %c %d %F", 10),
            ("/s 1 1 1 0 0 6 1 0 2 999999", 1),
        ];
        for (line, problems) in cases {
            let args = parse(line);
            assert_eq!(
                args.problems.len(),
                problems,
                "{line:?}: {:?}",
                args.problems
            );
        }
        assert_eq!(KernelArgs::parse(&[]).state_dir, PathBuf::new());
    }

    #[test]
    fn a_hostile_word_is_quoted_and_bounded() {
        let args = parse(&format!("/s {}\n 1 1 0 0 6 1 0 2 3", "A".repeat(100_000)));
        assert!(
            args.problems.iter().all(|problem| problem.len() < 200),
            "{:?}",
            args.problems
        );
    }
}

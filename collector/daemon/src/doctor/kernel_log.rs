//! Counts in the kernel's log what it did not hand over: messages of fs/coredump.c, and those of
//! the helper.

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::io;

/// Most records read: more than the log holds.
const MAX_RECORDS: usize = 200_000;
/// Largest record (`PRINTKRB_RECORD_MAX` and the prefix).
const MAX_RECORD: usize = 8192;

/// A kind of loss, and how the kernel words it.
const WORDS: [(Loss, &str); 7] = [
    (Loss::OverPipeLimit, "over core_pipe_limit"),
    (Loss::NotStarted, "core_pattern too long"),
    (Loss::NotStarted, "Core dump to |"),
    (Loss::Recursion, "RLIMIT_CORE is set to 1"),
    (Loss::Socket, "coredump socket"),
    (Loss::Other, "Skipping core dump"),
    (Loss::Helper, "aground-collect: "),
];

/// Why a crash was not, or not wholly, handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// More crashes at once than `core_pipe_limit`.
    OverPipeLimit,
    /// The helper could not be started.
    NotStarted,
    /// A crash of a helper itself.
    Recursion,
    /// The listener's socket was full, or nobody listened.
    Socket,
    /// The helper had trouble.
    Helper,
    /// Anything else the kernel says about skipped dumps.
    Other,
}

/// What the kernel's log tells since boot, as far as it reaches back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelLog {
    /// How often each kind stands there.
    pub losses: Vec<(Loss, u64)>,
    /// The last such line.
    pub last: Option<String>,
}

impl KernelLog {
    fn take(&mut self, message: &str) {
        let found = WORDS.iter().find(|(_, words)| message.contains(words));
        let Some((loss, _)) = found else {
            return;
        };
        self.last = Some(message.chars().take(300).collect());
        match self.losses.iter_mut().find(|(kind, _)| kind == loss) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.losses.push((*loss, 1)),
        }
    }
}

/// Reads the log as it is now. Every read of `/dev/kmsg` gives one record,
/// `level,sequence,time,flags;message` and lines of details (Documentation/ABI/testing/dev-kmsg).
///
/// # Errors
/// When it may not be read: only root and those with `CAP_SYSLOG` always may.
pub(super) fn read() -> io::Result<KernelLog> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let kmsg = rustix::fs::open("/dev/kmsg", flags, Mode::empty())?;
    let mut log = KernelLog::default();
    let mut buffer = vec![0; MAX_RECORD];
    for _ in 0..MAX_RECORDS {
        match rustix::io::read(&kmsg, &mut buffer) {
            Ok(0) | Err(rustix::io::Errno::AGAIN) => break,
            Ok(length) => {
                let record = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
                log.take(message(&record));
            }
            // The oldest records were overwritten while we read.
            Err(rustix::io::Errno::PIPE | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(log)
}

fn message(record: &str) -> &str {
    let text = record.split_once(';').map_or("", |(_, text)| text);
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_counted_and_other_lines_are_not() {
        let mut log = KernelLog::default();
        for record in [
            "4,1,10,-;Pid 4711(web) over core_pipe_limit\n SUBSYSTEM=x",
            "4,2,11,-;Pid 4712(web) over core_pipe_limit",
            "4,3,12,-;Skipping core dump",
            "4,4,13,-;coredump: 12(a): coredump socket /run/aground-coredump.sock receive queue full",
            "3,5,14,-;aground-collect: writing the record failed: no space (arguments: 1 2)",
            "6,6,15,-;traps: web[5] general protection fault",
            "no record at all",
            "",
        ] {
            log.take(message(record));
        }
        assert_eq!(
            log.losses,
            [
                (Loss::OverPipeLimit, 2),
                (Loss::Other, 1),
                (Loss::Socket, 1),
                (Loss::Helper, 1)
            ]
        );
        let last = log.last.unwrap_or_default();
        assert!(last.starts_with("aground-collect: writing"), "{last}");
    }
}

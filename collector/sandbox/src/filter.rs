//! The system calls of a worker: all others fail with `EPERM`.
//!
//! They fail instead of killing, since C libraries differ in what they try first: a worker that
//! is refused a convenience goes on. What is listed works on descriptors that are open, on the
//! process's own memory, and on its own threads.

use seccompiler::{
    SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

/// Allowed whatever the arguments are.
const ALLOWED: &[i64] = &[
    // Open files.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_pwritev2,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_ftruncate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_close,
    // Memory; what maps it is below.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    // Threads.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    // Who it is: these cannot fail, and callers count on that.
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    // Signals to itself.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // Time and chance.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_exit_group,
];
/// What makes `clone` a new thread and not a new process.
const THREAD: u64 = (libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD) as u64;
/// The error that makes a C library use `clone`, whose arguments a filter can see.
const NO_SUCH_CALL: u32 = libc::ENOSYS as u32;
const REFUSED: u32 = libc::EPERM as u32;

/// Installs the filter for this thread and all that it starts.
pub(crate) fn install() -> Result<(), String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let no_clone3 = BTreeMap::from([(libc::SYS_clone3, vec![])]);
    let filters = [
        // Of two filters the stricter answer counts, and an error is stricter than leave.
        (
            no_clone3,
            SeccompAction::Allow,
            SeccompAction::Errno(NO_SUCH_CALL),
        ),
        (
            allowed()?,
            SeccompAction::Errno(REFUSED),
            SeccompAction::Allow,
        ),
    ];
    for (rules, otherwise, listed) in filters {
        let filter = SeccompFilter::new(rules, otherwise, listed, arch)
            .and_then(seccompiler::BpfProgram::try_from)
            .map_err(|error| error.to_string())?;
        seccompiler::apply_filter(&filter).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn allowed() -> Result<BTreeMap<i64, Vec<SeccompRule>>, String> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.iter().map(|&call| (call, vec![])).collect();
    // So that the first filter's answer is the one given.
    rules.insert(libc::SYS_clone3, vec![]);
    let not_executable = (2, Op::MaskedEq(libc::PROT_EXEC as u64), 0);
    let own = u64::from(std::process::id());
    for (call, condition) in [
        (libc::SYS_mmap, not_executable.clone()),
        (libc::SYS_mprotect, not_executable),
        (libc::SYS_clone, (0, Op::MaskedEq(THREAD), THREAD)),
        (libc::SYS_tgkill, (0, Op::Eq, own)),
        (libc::SYS_prlimit64, (0, Op::Eq, 0)),
        (libc::SYS_fcntl, (1, Op::Eq, libc::F_GETFD as u64)),
        (libc::SYS_prctl, (0, Op::Eq, libc::PR_SET_NAME as u64)),
    ] {
        rules.insert(call, vec![rule(condition)?]);
    }
    Ok(rules)
}

fn rule((argument, compare, value): (u8, Op, u64)) -> Result<SeccompRule, String> {
    SeccompCondition::new(argument, Width::Dword, compare, value)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .map_err(|error| error.to_string())
}

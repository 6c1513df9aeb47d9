//! Names signals and their codes, and reads what a core says of the signal.

use crate::dump::Core;
use crate::dump::notes::SigInfo;
use crate::report::{Address, Signal};
use crate::system_calls;

const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];
const SIGILL: i32 = 4;
const SIGTRAP: i32 = 5;
const SIGBUS: i32 = 7;
const SIGFPE: i32 = 8;
const SIGSEGV: i32 = 11;
const SIGSYS: i32 = 31;
const SI_KERNEL: i32 = 0x80;

/// The name of a signal on the architectures supported here.
pub fn name(number: i32) -> String {
    let index = usize::try_from(number)
        .ok()
        .and_then(|number| number.checked_sub(1));
    match index.and_then(|index| NAMES.get(index)) {
        Some(name) => (*name).to_owned(),
        None if (34..=64).contains(&number) => format!("SIGRTMIN+{}", number - 34),
        None => format!("signal {number}"),
    }
}

/// The name of a signal's code (`include/uapi/asm-generic/siginfo.h`).
pub fn code_name(number: i32, code: i32) -> Option<&'static str> {
    let any = match code {
        0 => Some("SI_USER"),
        SI_KERNEL => Some("SI_KERNEL"),
        -1 => Some("SI_QUEUE"),
        -2 => Some("SI_TIMER"),
        -3 => Some("SI_MESGQ"),
        -4 => Some("SI_ASYNCIO"),
        -5 => Some("SI_SIGIO"),
        -6 => Some("SI_TKILL"),
        _ => None,
    };
    let names: &[&str] = match number {
        SIGILL => &[
            "ILL_ILLOPC",
            "ILL_ILLOPN",
            "ILL_ILLADR",
            "ILL_ILLTRP",
            "ILL_PRVOPC",
            "ILL_PRVREG",
            "ILL_COPROC",
            "ILL_BADSTK",
        ],
        SIGFPE => &[
            "FPE_INTDIV",
            "FPE_INTOVF",
            "FPE_FLTDIV",
            "FPE_FLTOVF",
            "FPE_FLTUND",
            "FPE_FLTRES",
            "FPE_FLTINV",
            "FPE_FLTSUB",
        ],
        SIGSEGV => &[
            "SEGV_MAPERR",
            "SEGV_ACCERR",
            "SEGV_BNDERR",
            "SEGV_PKUERR",
            "SEGV_ACCADI",
            "SEGV_ADIDERR",
            "SEGV_ADIPERR",
            "SEGV_MTEAERR",
            "SEGV_MTESERR",
            "SEGV_CPERR",
        ],
        SIGBUS => &[
            "BUS_ADRALN",
            "BUS_ADRERR",
            "BUS_OBJERR",
            "BUS_MCEERR_AR",
            "BUS_MCEERR_AO",
        ],
        SIGTRAP => &[
            "TRAP_BRKPT",
            "TRAP_TRACE",
            "TRAP_BRANCH",
            "TRAP_HWBKPT",
            "TRAP_UNK",
            "TRAP_PERF",
        ],
        SIGSYS => &["SYS_SECCOMP", "SYS_USER_DISPATCH"],
        _ => &[],
    };
    any.or_else(|| {
        names
            .get(usize::try_from(code).ok()?.checked_sub(1)?)
            .copied()
    })
}

/// The signal as the core tells it; `known` says what the record knew, for cores that say less.
pub fn of_core(core: &Core, known: &Signal) -> Signal {
    let first = core.notes.threads.first().map_or(0, |thread| thread.signal);
    match &core.notes.siginfo {
        Some(info) if info.number != 0 => of_siginfo(info),
        _ if first != 0 && first != known.number => Signal {
            number: first,
            name: name(first),
            ..Signal::default()
        },
        _ => of_record(known),
    }
}

/// The signal as the record knew it, named.
pub fn of_record(known: &Signal) -> Signal {
    let mut signal = known.clone();
    if signal.name.is_empty() {
        signal.name = name(signal.number);
    }
    signal
}

fn of_siginfo(info: &SigInfo) -> Signal {
    let mut signal = Signal {
        number: info.number,
        name: name(info.number),
        code: Some(info.code),
        code_name: code_name(info.number, info.code).map(str::to_owned),
        ..Signal::default()
    };
    let sent = matches!(info.code, 0 | -1 | -6);
    let has_address = matches!(info.number, SIGILL | SIGTRAP | SIGBUS | SIGFPE | SIGSEGV);
    if sent {
        signal.sender_pid = Some(info.pid);
        signal.sender_uid = Some(info.uid);
    } else if info.number == SIGSYS && info.code > 0 {
        signal.system_call = Some(system_calls::name(info.audit_arch, info.system_call));
        signal.address = Some(Address(info.address));
    } else if has_address && info.code > 0 && info.code != SI_KERNEL {
        signal.address = Some(Address(info.address));
    }
    signal
}

#[cfg(test)]
mod tests {
    use super::{code_name, name};

    #[test]
    fn names() {
        assert_eq!(name(6), "SIGABRT");
        assert_eq!(name(31), "SIGSYS");
        assert_eq!(name(0), "signal 0");
        assert_eq!(name(35), "SIGRTMIN+1");
        assert_eq!(code_name(11, 1), Some("SEGV_MAPERR"));
        assert_eq!(code_name(11, 0x80), Some("SI_KERNEL"));
        assert_eq!(code_name(6, -6), Some("SI_TKILL"));
        assert_eq!(code_name(6, 77), None);
    }
}

//! Decides who may read a process's memory. Pure, and deaf to everything but the kernel.
//!
//! A user may read it only if the kernel would have let that user debug the process: it was
//! dumpable by its owner, not started with raised privileges, and one and the same user in every
//! respect (CVE-2022-4415, CVE-2025-4598, CVE-2025-5054: handlers that asked less, or asked the
//! wrong process, gave away `/etc/shadow`). We serve more than one user, so that what is not for
//! its owner is for root. A fact that is missing is a refusal.

use crate::process::{auxv_value, unprivileged};
use crate::record::{Access, Capture, KernelFacts, Process};

/// Auxiliary vector: user and group ids at the start (include/uapi/linux/auxvec.h).
const AT_UID: u64 = 11;
const AT_EUID: u64 = 12;
const AT_GID: u64 = 13;
const AT_EGID: u64 = 14;

/// Writes down who may read the memory, and takes out of the record what /proc would have shown
/// to root alone.
///
/// `auxv` is the auxiliary vector in the core's notes: the kernel wrote it, so it speaks for the
/// dead process also when /proc has forgotten it.
pub fn settle(
    capture: &mut Capture,
    kernel: &KernelFacts,
    process: &mut Process,
    auxv: Option<&[u8]>,
) {
    capture.access_reason = refusal(kernel, process, auxv).err();
    capture.access = match capture.access_reason {
        None => Access::Readers,
        Some(_) => Access::Root,
    };
    if capture.access == Access::Root {
        // Anybody's `ps` shows name and arguments of a privileged program; these it does not show.
        process.environment.clear();
        process.open_files.clear();
        process.cwd = None;
    }
}

/// Whether a privilege stands between the memory and its readers, as a sentence.
fn refusal(kernel: &KernelFacts, process: &Process, auxv: Option<&[u8]>) -> Result<(), String> {
    match kernel.dumpable {
        Some(1) => {}
        Some(mode) => {
            return Err(format!(
                "the kernel lets only root read it (dump mode {mode})"
            ));
        }
        None => return Err("the kernel did not say who may read it (dump mode unknown)".to_owned()),
    }
    match (process.secure, auxv.and_then(unprivileged)) {
        (Some(true), _) | (_, Some(false)) => {
            return Err("the program was started with raised privileges".to_owned());
        }
        (None, None) => {
            return Err(
                "whether the program was started with raised privileges is not known".to_owned(),
            );
        }
        (Some(false), _) | (None, Some(true)) => {}
    }
    match (process.uids, process.gids) {
        (Some(uids), Some(gids)) => {
            one_identity("user", uids, kernel.uid)?;
            one_identity("group", gids, kernel.gid)
        }
        // Whoever changes its ids after the start is no longer dumpable by its owner
        // (commit_creds in kernel/cred.c): what was true then has not changed.
        _ => auxv.map_or(Err("who it ran as is not known".to_owned()), same_at_start),
    }
}

/// Real, effective, saved and file system id must be the one that the kernel saw die.
fn one_identity(what: &str, ids: [u32; 4], died: Option<u32>) -> Result<(), String> {
    let [real, rest @ ..] = ids;
    if rest.iter().any(|id| *id != real) {
        return Err(format!("the process had more than one {what} id"));
    }
    if died.is_some_and(|died| died != real) {
        return Err(format!(
            "the kernel and /proc do not agree on the {what} id of the process"
        ));
    }
    Ok(())
}

fn same_at_start(auxv: &[u8]) -> Result<(), String> {
    let same = |real, effective| {
        let value = auxv_value(auxv, real);
        value.is_some() && value == auxv_value(auxv, effective)
    };
    if same(AT_UID, AT_EUID) && same(AT_GID, AT_EGID) {
        Ok(())
    } else {
        Err("the process had more than one user or group id".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel() -> KernelFacts {
        KernelFacts {
            uid: Some(1000),
            gid: Some(100),
            dumpable: Some(1),
            ..KernelFacts::default()
        }
    }

    fn process() -> Process {
        Process {
            secure: Some(false),
            uids: Some([1000; 4]),
            gids: Some([100; 4]),
            environment: vec!["A=b".to_owned()],
            ..Process::default()
        }
    }

    fn auxv(words: &[(u64, u64)]) -> Vec<u8> {
        let words = words.iter().chain(&[(0, 0)]);
        words
            .flat_map(|(kind, value)| [kind.to_ne_bytes(), value.to_ne_bytes()])
            .flatten()
            .collect()
    }

    fn ordinary_auxv() -> Vec<u8> {
        auxv(&[(11, 5), (12, 5), (13, 6), (14, 6), (23, 0)])
    }

    fn check(kernel: &KernelFacts, process: &Process, auxv: Option<&[u8]>, refused: &str) {
        let (mut capture, mut kept) = (Capture::default(), process.clone());
        settle(&mut capture, kernel, &mut kept, auxv);
        let said = capture.access_reason.clone().unwrap_or_default();
        if refused.is_empty() {
            assert_eq!((capture.access, said.as_str()), (Access::Readers, ""));
            assert_eq!(&kept, process);
        } else {
            assert!(said.contains(refused), "{said:?} does not say {refused:?}");
            assert_eq!(capture.access, Access::Root);
            assert!(kept.environment.is_empty());
        }
    }

    #[test]
    fn an_ordinary_process_is_for_its_readers() {
        check(&kernel(), &process(), None, "");
        check(&kernel(), &process(), Some(&ordinary_auxv()), "");
    }

    #[test]
    fn every_privilege_and_every_missing_fact_refuses() {
        let with = |change: fn(&mut KernelFacts, &mut Process)| {
            let (mut kernel, mut process) = (kernel(), process());
            change(&mut kernel, &mut process);
            (kernel, process)
        };
        let cases = [
            (with(|k, _| k.dumpable = Some(2)), "dump mode 2"),
            (with(|k, _| k.dumpable = Some(0)), "dump mode 0"),
            (with(|k, _| k.dumpable = None), "dump mode unknown"),
            (with(|_, p| p.secure = Some(true)), "raised privileges"),
            (with(|_, p| p.secure = None), "is not known"),
            (with(|_, p| p.uids = Some([1000, 0, 1000, 1000])), "user id"),
            (with(|_, p| p.uids = Some([1000, 1000, 0, 1000])), "user id"),
            (with(|_, p| p.gids = Some([100, 100, 100, 0])), "group id"),
            (with(|_, p| p.uids = Some([7; 4])), "do not agree"),
            (with(|_, p| p.gids = Some([7; 4])), "do not agree"),
            (with(|_, p| p.uids = None), "not known"),
            (with(|_, p| p.gids = None), "not known"),
        ];
        for ((kernel, process), refused) in cases {
            check(&kernel, &process, None, refused);
        }
    }

    /// The race of CVE-2025-4598: /proc shows an innocent process, the core is a setuid program's.
    #[test]
    fn the_core_outvotes_proc() {
        let setuid = auxv(&[(11, 5), (12, 0), (13, 6), (14, 6), (23, 1)]);
        check(&kernel(), &process(), Some(&setuid), "raised privileges");
    }

    #[test]
    fn a_process_gone_from_proc_is_judged_by_its_core() {
        let gone = Process {
            environment: vec!["A=b".to_owned()],
            ..Process::default()
        };
        check(&kernel(), &gone, Some(&ordinary_auxv()), "");
        check(&kernel(), &gone, None, "is not known");
        for (changed, refused) in [
            (
                auxv(&[(11, 5), (12, 0), (13, 6), (14, 6), (23, 0)]),
                "user or group",
            ),
            (
                auxv(&[(11, 5), (12, 5), (13, 6), (14, 0), (23, 0)]),
                "user or group",
            ),
            (auxv(&[(11, 5), (12, 5), (23, 0)]), "user or group"),
            (auxv(&[(11, 5), (12, 5), (13, 6), (14, 6)]), "is not known"),
            (auxv(&[(23, 1)]), "raised privileges"),
            (vec![0xff; 64], "is not known"),
        ] {
            check(&kernel(), &gone, Some(&changed), refused);
        }
    }
}

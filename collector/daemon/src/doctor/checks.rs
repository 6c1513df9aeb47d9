//! The judgements, one function each, in the order of the path of a crash.
#![allow(
    clippy::unnecessary_wraps,
    reason = "all checks have one form: some have nothing to say on some machines"
)]

use super::{Check, Facts, Health, Loss, Seen};
use aground_helper::install::is_ours;

/// Fewer crashes at once than this are nothing unusual on a host with many containers.
const ENOUGH_AT_ONCE: u64 = 200;
/// A crash that waits longer than this in the spool is not being taken in.
const PATIENCE_SECONDS: u64 = 180;

pub(super) fn all(facts: &Facts) -> Vec<Check> {
    let checks = [
        core_pattern(facts),
        pipe_limit(facts),
        helper(facts),
        directories(facts),
        space(facts),
        daemon(facts),
        spool(facts),
        debuginfod(facts),
        losses(facts),
        previous(facts),
        boot(facts),
        setuid(facts),
    ];
    checks.into_iter().flatten().collect()
}

fn check(name: &str, health: Health, finding: impl Into<String>, advice: &str) -> Check {
    Check {
        name: name.to_owned(),
        health,
        finding: finding.into(),
        advice: (health != Health::Ok && !advice.is_empty()).then(|| advice.to_owned()),
    }
}

fn core_pattern(facts: &Facts) -> Option<Check> {
    let name = "core_pattern";
    let Some(kernel) = &facts.kernel else {
        let advice = "mount /proc, or run this on the host";
        return Some(check(name, Health::Fail, "it cannot be read", advice));
    };
    let pattern = &kernel.core_pattern;
    if !is_ours(pattern) {
        let whose = known_owner(pattern);
        let finding = format!("it is \"{pattern}\": {whose} gets the crashes, Aground does not");
        let advice = "run sudo aground install; if something sets it again, remove that or its sysctl.d file";
        return Some(check(name, Health::Fail, finding, advice));
    }
    let state = facts.state_dir.to_string_lossy();
    let elsewhere = pattern.starts_with('|') && pattern.split(' ').nth(1) != Some(&state);
    if elsewhere {
        let finding = format!("it is \"{pattern}\", which does not feed {state}");
        let advice = "run sudo aground install with this daemon's --state-dir";
        return Some(check(name, Health::Fail, finding, advice));
    }
    if pattern.starts_with("@@") && !facts.listener {
        let finding = "the kernel is sent to a socket that is not there: every crash is lost";
        let advice = "start aground-collect.socket, or run sudo aground install --interface pipe";
        return Some(check(name, Health::Fail, finding, advice));
    }
    let finding = format!("it is ours: \"{pattern}\"");
    Some(check(name, Health::Ok, finding, ""))
}

/// Who is known to set such a pattern.
fn known_owner(pattern: &str) -> &'static str {
    let known = [
        ("systemd-coredump", "systemd-coredump"),
        ("@@/run/systemd", "systemd-coredump"),
        ("apport", "apport"),
        ("abrt", "ABRT"),
        ("core-dump-composer", "IBM's core-dump-handler"),
        ("cdc ", "IBM's core-dump-handler"),
    ];
    let found = known.iter().find(|(part, _)| pattern.contains(part));
    match (found, pattern.chars().next()) {
        (Some((_, name)), _) => name,
        (None, Some('|')) => "another program",
        (None, Some('@')) => "another listener",
        (None, _) => "a file in each container",
    }
}

fn pipe_limit(facts: &Facts) -> Option<Check> {
    let kernel = facts
        .kernel
        .as_ref()
        .filter(|kernel| kernel.core_pattern.starts_with('|'))?;
    let limit: u64 = kernel.core_pipe_limit.parse().ok()?;
    let name = "core_pipe_limit";
    let advice = "run sudo aground install, which sets it";
    Some(match limit {
        0 => {
            let finding = "it is 0: the kernel does not wait, and small processes are gone before they are read";
            check(name, Health::Fail, finding, advice)
        }
        limit if limit < ENOUGH_AT_ONCE => {
            let finding =
                format!("it is {limit}: of more crashes at once the kernel drops the rest");
            check(name, Health::Warn, finding, advice)
        }
        limit => check(name, Health::Ok, format!("{limit} crashes at once"), ""),
    })
}

fn helper(facts: &Facts) -> Option<Check> {
    let (path, seen) = facts.helper.as_ref()?;
    let (path, name) = (path.display(), "helper");
    let advice = "run sudo aground install";
    Some(match seen {
        Err(error) => {
            let finding =
                format!("{path} cannot be looked at ({error}): the kernel cannot start it");
            check(name, Health::Fail, finding, advice)
        }
        Ok(Seen { mode, .. }) if mode & 0o100 == 0 => check(
            name,
            Health::Fail,
            format!("{path} is not executable"),
            advice,
        ),
        Ok(Seen { owner, mode }) if *owner != 0 || mode & 0o022 != 0 => {
            let finding = format!("{path} can be changed by others than root, who runs it");
            check(name, Health::Fail, finding, "make it root's, mode 0755")
        }
        Ok(_) => check(name, Health::Ok, format!("{path}"), ""),
    })
}

fn directories(facts: &Facts) -> Option<Check> {
    let name = "state directory";
    let shown = facts.state_dir.display();
    let owner = facts
        .directories
        .first()
        .and_then(|(_, seen)| seen.as_ref().ok());
    let Some(owner) = owner.map(|seen| seen.owner) else {
        let finding = format!("{shown} cannot be looked at");
        let advice = "run sudo aground install, or run this as root";
        return Some(check(name, Health::Warn, finding, advice));
    };
    for (path, seen) in &facts.directories {
        let path = path.display();
        match seen {
            Ok(seen) if seen.mode & 0o077 != 0 => {
                let finding = format!("{path} can be entered by others: mode {:04o}", seen.mode);
                return Some(check(name, Health::Fail, finding, "set its mode to 0700"));
            }
            Ok(seen) if seen.owner != owner && seen.owner != 0 => {
                let finding = format!("{path} belongs to user {}, not to user {owner}", seen.owner);
                return Some(check(
                    name,
                    Health::Warn,
                    finding,
                    "give it to the daemon's user",
                ));
            }
            _ => {}
        }
    }
    Some(check(name, Health::Ok, format!("{shown}, mode 0700"), ""))
}

fn space(facts: &Facts) -> Option<Check> {
    let free = facts.free_bytes?;
    let name = "free space";
    let mib = free >> 20;
    let advice = "make room: aground prune --dry-run shows what could go; [retention] in the configuration sets limits";
    Some(if free == 0 {
        let finding = "the disk is full: records come from the reserve, memory is not kept";
        check(name, Health::Fail, finding, advice)
    } else if free < facts.min_free {
        let wanted = facts.min_free >> 20;
        let finding = format!("{mib} MiB, less than the {wanted} MiB that should stay free");
        check(name, Health::Warn, finding, advice)
    } else {
        check(name, Health::Ok, format!("{mib} MiB"), "")
    })
}

fn daemon(facts: &Facts) -> Option<Check> {
    let name = "daemon";
    let ours = env!("CARGO_PKG_VERSION");
    Some(match facts.daemon.as_ref()? {
        Err(error) => {
            let advice = "start it (systemctl start aground, or aground serve): crashes wait in the spool until then";
            check(name, Health::Fail, error.clone(), advice)
        }
        Ok(version) if version != ours => {
            let finding = format!("it is version {version}, this program is {ours}");
            check(
                name,
                Health::Warn,
                finding,
                "restart it, and run sudo aground install",
            )
        }
        Ok(version) => check(name, Health::Ok, format!("version {version} answers"), ""),
    })
}

fn debuginfod(facts: &Facts) -> Option<Check> {
    let name = "debuginfod";
    let servers = &facts.symbol_servers;
    let trouble = servers
        .iter()
        .find_map(|server| Some((&server.url, server.trouble.as_ref()?)));
    if let Some((url, trouble)) = trouble {
        let finding = format!("{url}: {trouble}");
        let advice = "see [symbols] in the configuration; analyses go on without its symbols";
        return Some(check(name, Health::Warn, finding, advice));
    }
    let fetched = servers.iter().map(|server| server.fetched).sum::<u64>();
    let finding = format!("{} asked, {fetched} files came", servers.len());
    (!servers.is_empty()).then(|| check(name, Health::Ok, finding, ""))
}

fn spool(facts: &Facts) -> Option<Check> {
    let name = "spool";
    if facts.rejected > 0 {
        let finding = format!("{} entries could not be taken in", facts.rejected);
        return Some(check(
            name,
            Health::Warn,
            finding,
            "aground status names them and says why",
        ));
    }
    if let Some(left) = facts.fallback.filter(|left| *left > 0) {
        let finding = format!(
            "{left} records were written beside the state directory, which could not be used"
        );
        return Some(check(
            name,
            Health::Warn,
            finding,
            "the daemon fetches them within a minute",
        ));
    }
    let (count, oldest) = facts.ready?;
    Some(if count > 0 && oldest > PATIENCE_SECONDS {
        let finding = format!(
            "{count} crashes wait, the oldest for {} minutes",
            oldest / 60
        );
        check(
            name,
            Health::Warn,
            finding,
            "is the daemon running? aground status says why they wait",
        )
    } else {
        check(name, Health::Ok, format!("{count} crashes wait"), "")
    })
}

fn losses(facts: &Facts) -> Option<Check> {
    let name = "losses";
    let log = match &facts.log {
        Ok(log) => log,
        Err(error) => {
            let finding = format!("the kernel's log cannot be read: {error}");
            return Some(check(name, Health::Warn, finding, "run this as root"));
        }
    };
    let told: Vec<String> = log
        .losses
        .iter()
        .map(|(loss, count)| format!("{count} {}", words(*loss)))
        .collect();
    if told.is_empty() {
        return Some(check(
            name,
            Health::Ok,
            "the kernel's log tells of none",
            "",
        ));
    }
    let last = log.last.as_deref().unwrap_or_default();
    let finding = format!("since boot {}; the last: {last}", told.join(", "));
    let advice = "what the kernel dropped cannot be brought back; dmesg has all lines";
    Some(check(name, Health::Warn, finding, advice))
}

fn words(loss: Loss) -> &'static str {
    match loss {
        Loss::OverPipeLimit => "over core_pipe_limit",
        Loss::NotStarted => "because the helper was not started",
        Loss::Recursion => "crashes of a helper itself",
        Loss::Socket => "at the socket",
        Loss::Helper => "told by the helper",
        Loss::Other => "skipped",
    }
}

fn previous(facts: &Facts) -> Option<Check> {
    facts
        .kernel
        .as_ref()
        .filter(|kernel| is_ours(&kernel.core_pattern))?;
    let name = "uninstall";
    Some(match (&facts.previous, facts.previous_readable) {
        (Some(previous), _) => {
            let finding = format!("it will set \"{}\" again", previous.core_pattern);
            check(name, Health::Ok, finding, "")
        }
        (None, true) => {
            let finding = "what was set before is not known: it will set the kernel's default";
            check(name, Health::Warn, finding, "")
        }
        (None, false) => check(
            name,
            Health::Ok,
            "what was set before is for root to see",
            "",
        ),
    })
}

fn boot(facts: &Facts) -> Option<Check> {
    facts
        .kernel
        .as_ref()
        .filter(|kernel| is_ours(&kernel.core_pattern))?;
    Some(if facts.lasting {
        check(
            "next boot",
            Health::Ok,
            "a file in /etc/sysctl.d sets it again",
            "",
        )
    } else {
        let advice = "install deploy/sysctl.d/60-aground.conf in /etc/sysctl.d";
        check(
            "next boot",
            Health::Warn,
            "nothing in /etc/sysctl.d sets core_pattern to ours",
            advice,
        )
    })
}

fn setuid(facts: &Facts) -> Option<Check> {
    let finding = match facts.suid_dumpable? {
        0 => {
            "fs.suid_dumpable is 0: the kernel hands no crash over of programs that changed their user"
        }
        2 => "fs.suid_dumpable is 2: memory of programs that changed their user is for root alone",
        _ => {
            let finding = "fs.suid_dumpable is 1: the kernel treats memory of programs that changed their user as anybody's";
            let advice = "set it to 2, or to 0";
            return Some(check("setuid programs", Health::Warn, finding, advice));
        }
    };
    Some(check("setuid programs", Health::Ok, finding, ""))
}

/// The worst of all.
pub(super) fn worst(checks: &[Check]) -> Health {
    checks
        .iter()
        .map(|check| check.health)
        .max()
        .unwrap_or(Health::Ok)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::semicolon_if_nothing_returned)]
    use super::*;
    use crate::doctor::KernelLog;
    use crate::symbols::ServerStatus;
    use aground_helper::install::KernelSettings;
    use std::path::{Path, PathBuf};

    const OURS: &str = "|/usr/lib/aground/aground-collect /var/lib/aground %P";

    fn settings(pattern: &str, limit: &str) -> KernelSettings {
        KernelSettings {
            core_pattern: pattern.to_owned(),
            core_pipe_limit: limit.to_owned(),
            boot_id: None,
        }
    }

    fn well() -> Facts {
        let seen = |mode| Ok(Seen { owner: 0, mode });
        Facts {
            state_dir: PathBuf::from("/var/lib/aground"),
            kernel: Some(settings(OURS, "1024")),
            previous: Some(settings("core", "0")),
            previous_readable: true,
            helper: Some((
                PathBuf::from("/usr/lib/aground/aground-collect"),
                seen(0o755),
            )),
            directories: vec![(PathBuf::from("/var/lib/aground"), seen(0o700))],
            free_bytes: Some(10 << 30),
            min_free: 1 << 30,
            ready: Some((0, 0)),
            fallback: Some(0),
            rejected: 0,
            log: Ok(KernelLog::default()),
            lasting: true,
            suid_dumpable: Some(2),
            daemon: Some(Ok(env!("CARGO_PKG_VERSION").to_owned())),
            listener: false,
            symbol_servers: vec![],
        }
    }

    #[track_caller]
    fn expect(facts: &Facts, name: &str, health: Health, words: &str) {
        let checks = all(facts);
        let check = checks.iter().find(|check| check.name == name).unwrap();
        assert_eq!(check.health, health, "{check:?}");
        assert!(check.finding.contains(words), "{check:?}");
        assert_eq!(worst(&checks), health);
    }

    #[test]
    fn a_machine_that_is_well_is_well() {
        let checks = all(&well());
        assert_eq!(checks.len(), 11);
        assert_eq!(worst(&checks), Health::Ok, "{checks:#?}");
        assert!(checks.iter().all(|check| check.advice.is_none()));
    }

    #[test]
    fn whoever_took_the_pattern_is_named() {
        for (pattern, who) in [
            ("|/lib/systemd/systemd-coredump %P", "systemd-coredump gets"),
            ("|/usr/share/apport/apport -p%p", "apport gets"),
            ("|/usr/libexec/abrt-hook-ccpp", "ABRT gets"),
            ("|/opt/x %p", "another program gets"),
            ("core", "a file in each container gets"),
            ("@@/run/other.sock", "another listener gets"),
        ] {
            let mut facts = well();
            facts.kernel = Some(settings(pattern, "1024"));
            facts.helper = None;
            expect(&facts, "core_pattern", Health::Fail, who);
        }
        let mut facts = well();
        facts.kernel = Some(settings(
            &OURS.replace("/var/lib/aground", "/srv/other"),
            "1024",
        ));
        expect(&facts, "core_pattern", Health::Fail, "does not feed");
        facts.kernel = Some(settings("@@/run/aground-coredump.sock", "0"));
        expect(&facts, "core_pattern", Health::Fail, "every crash is lost");
        facts.listener = true;
        expect(&facts, "core_pattern", Health::Ok, "ours");
    }

    #[test]
    fn every_trouble_is_found() {
        type Change = fn(&mut Facts);
        let changes: [(&str, Health, &str, Change); 16] = [
            ("core_pipe_limit", Health::Fail, "it is 0", |f| {
                f.kernel = Some(settings(OURS, "0"))
            }),
            ("core_pipe_limit", Health::Warn, "it is 16", |f| {
                f.kernel = Some(settings(OURS, "16"))
            }),
            ("helper", Health::Fail, "cannot start it", |f| {
                f.helper = Some((PathBuf::from("/h"), Err("gone".to_owned())));
            }),
            ("helper", Health::Fail, "not executable", |f| {
                f.helper = Some((
                    PathBuf::from("/h"),
                    Ok(Seen {
                        owner: 0,
                        mode: 0o644,
                    }),
                ));
            }),
            ("helper", Health::Fail, "others than root", |f| {
                f.helper = Some((
                    PathBuf::from("/h"),
                    Ok(Seen {
                        owner: 1000,
                        mode: 0o755,
                    }),
                ));
            }),
            ("state directory", Health::Fail, "mode 0755", |f| {
                f.directories = vec![(
                    PathBuf::from("/s"),
                    Ok(Seen {
                        owner: 0,
                        mode: 0o755,
                    }),
                )];
            }),
            (
                "state directory",
                Health::Warn,
                "cannot be looked at",
                |f| f.directories.clear(),
            ),
            ("free space", Health::Fail, "disk is full", |f| {
                f.free_bytes = Some(0)
            }),
            ("free space", Health::Warn, "5 MiB", |f| {
                f.free_bytes = Some(5 << 20)
            }),
            ("daemon", Health::Fail, "nobody", |f| {
                f.daemon = Some(Err("nobody answers".to_owned()))
            }),
            ("spool", Health::Warn, "oldest for 10 minutes", |f| {
                f.ready = Some((7, 600))
            }),
            ("spool", Health::Warn, "could not be taken in", |f| {
                f.rejected = 1
            }),
            ("losses", Health::Warn, "2 over core_pipe_limit", |f| {
                f.log = Ok(KernelLog {
                    losses: vec![(Loss::OverPipeLimit, 2)],
                    last: None,
                });
            }),
            ("debuginfod", Health::Warn, "http://s:80: refused", |f| {
                f.symbol_servers = vec![ServerStatus {
                    url: "http://s:80".to_owned(),
                    fetched: 3,
                    trouble: Some("refused".to_owned()),
                }];
            }),
            ("next boot", Health::Warn, "nothing", |f| f.lasting = false),
            ("setuid programs", Health::Warn, "anybody's", |f| {
                f.suid_dumpable = Some(1)
            }),
        ];
        for (name, health, words, change) in changes {
            let mut facts = well();
            change(&mut facts);
            expect(&facts, name, health, words);
        }
    }

    #[test]
    fn what_cannot_be_seen_is_said() {
        let nothing = Facts {
            log: Err("permission denied".to_owned()),
            ..Facts::gather(Path::new("/nowhere/at/all"), 0)
        };
        let checks = all(&nothing);
        let losses = checks.iter().find(|check| check.name == "losses").unwrap();
        assert!(losses.finding.contains("permission denied"));
    }
}

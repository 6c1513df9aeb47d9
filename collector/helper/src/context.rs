//! Reads what surrounded the dead process, while the kernel still holds it.
//!
//! Nothing here may fail the crash or cost it time: every file is bounded, and what cannot be read
//! is left out.

mod cgroup;
mod mounts;
mod sockets;

use crate::bounded::{read_proc_at, read_up_to};
use crate::process::Pinned;
use crate::record::{Context, Cpu, Record, Security};
use crate::text::escape_bytes;
use rustix::fd::AsFd;
use std::fs::File;
use std::path::Path;

/// Most bytes taken of a small file.
const MAX_SMALL: usize = 16 * 1024;
/// Namespaces a container usually has of its own.
const NAMESPACES: [&str; 6] = ["mnt", "pid", "net", "ipc", "uts", "user"];

/// Reads what surrounds the process; `record` knows its container and its open files already.
pub(crate) fn snapshot(pinned: &Pinned, record: &Record) -> Context {
    let proc = pinned.proc();
    let id = record
        .container
        .as_ref()
        .map(|container| container.id.as_str());
    let cgroup = pinned.cgroup().unwrap_or_default();
    Context {
        resources: cgroup::resources(Path::new("/sys/fs/cgroup"), &cgroup, id),
        sockets: sockets::of(proc, &record.process.open_files),
        mounts: mounts::of(proc),
        security: security(proc),
        cpu: cpu(&small("/proc/cpuinfo")),
    }
}

fn security(proc: &impl AsFd) -> Security {
    let text = |name: &str| {
        let (bytes, _) = read_proc_at(proc, name, MAX_SMALL).ok()?;
        let text = escape_bytes(&bytes, MAX_SMALL);
        let text = text.trim_end_matches(['\n', '\0']);
        (!text.is_empty()).then(|| text.to_owned())
    };
    let status = text("status").unwrap_or_default();
    // The name may hold anything but a newline, which the kernel writes as `\n` in letters.
    let field = |name: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim)
    };
    let shared = |kind: &&str| {
        let link = format!("ns/{kind}");
        let of_process = rustix::fs::readlinkat(proc, &link, Vec::new()).ok();
        let of_host = rustix::fs::readlink(format!("/proc/self/{link}"), Vec::new()).ok();
        of_process.is_some() && of_process == of_host
    };
    Security {
        profile: text("attr/current"),
        seccomp: field("Seccomp").map(|mode| match mode {
            "0" => "off".to_owned(),
            "1" => "strict".to_owned(),
            "2" => "filter".to_owned(),
            other => other.to_owned(),
        }),
        no_new_privileges: field("NoNewPrivs").map(|flag| flag == "1"),
        capabilities: field("CapEff").map(str::to_owned),
        host_namespaces: NAMESPACES
            .iter()
            .filter(|kind| shared(kind))
            .map(|kind| (*kind).to_owned())
            .collect(),
        oom_score_adjust: text("oom_score_adj").and_then(|score| score.parse().ok()),
    }
}

/// Model and microcode of the first processor. Where the kernel gives no model name (arm64), the
/// numbers of implementer and part say the same.
fn cpu(cpuinfo: &str) -> Cpu {
    let field = |name: &str| {
        cpuinfo.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    let numbers = || {
        let (implementer, part) = (field("CPU implementer")?, field("CPU part")?);
        Some(format!("implementer {implementer} part {part}"))
    };
    Cpu {
        model: field("model name").or_else(numbers),
        microcode: field("microcode"),
    }
}

/// The beginning of a file of the host's.
fn small(path: &str) -> String {
    let read = File::open(path).and_then(|file| read_up_to(file, MAX_SMALL));
    read.map(|(bytes, _)| escape_bytes(&bytes, MAX_SMALL))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_named_on_both_families() {
        let intel = "processor\t: 0\nmodel name\t: Fast CPU @ 2GHz\nmicrocode\t: 0xb000040\n\nprocessor\t: 1\nmodel name\t: other";
        assert_eq!(
            cpu(intel),
            Cpu {
                model: Some("Fast CPU @ 2GHz".to_owned()),
                microcode: Some("0xb000040".to_owned())
            }
        );
        let arm = "processor : 0\nCPU implementer : 0x41\nCPU part : 0xd0c\n";
        assert_eq!(
            cpu(arm).model.as_deref(),
            Some("implementer 0x41 part 0xd0c")
        );
        assert_eq!(cpu(""), Cpu::default());
    }
}

//! Decides whose process it is: which of the containers named by cgroup and mounts is believed,
//! and what the host's disk says of it.
//!
//! The trusted container is the outermost one that a runtime's own files confirm *at this very
//! place* in the cgroup tree. Whoever holds a part of the tree, a container or a user of the
//! host, can make cgroups with other containers' names below it: those are listed, not believed.

use crate::container::mounts::{self, Claims, Named};
use crate::container::{self, Candidate, Placement};
use crate::disk::{Disk, Found, kubernetes};
use crate::log_tail::Log;
use crate::record::{
    ClaimedContainer, Confidence, Container, Evidence, EvidenceKind, IdentitySource,
};
use crate::supervisor::Supervisor;
use serde_json::Value;

/// What /proc says of a process.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    /// `/proc/P/cgroup`.
    pub cgroup: Vec<u8>,
    /// `/proc/P/mountinfo`.
    pub mountinfo: Vec<u8>,
    /// The real user id on the host, where it is known.
    pub uid: Option<u32>,
    /// What the runtime's own process among the ancestors says.
    pub supervisor: Option<Supervisor>,
}

/// Whose process it is.
#[derive(Debug, Default)]
pub struct Identity {
    /// The container; `None` for a process of the host.
    pub container: Option<Container>,
    /// The systemd unit or else the last cgroup of a process of the host.
    pub unit: Option<String>,
    /// A pod that is named without a container in it.
    pub pod_uid: Option<String>,
    /// The cgroup path that was read.
    pub cgroup: Option<String>,
    /// The container's log.
    pub log: Option<Log>,
    /// What could not be learned, and what was not believed.
    pub problems: Vec<String>,
}

/// Identifies a process by its texts and, where there is one, the host's disk.
pub fn identify(texts: &Texts, disk: Option<&Disk>) -> Identity {
    let placement = container::placement(&texts.cgroup);
    let claims = mounts::claims(&texts.mountinfo);
    let mut identity = Identity {
        cgroup: placement.path.clone(),
        ..Identity::default()
    };
    let cgroup = by_cgroup(&placement, disk, &mut identity.problems);
    let supervised = texts.supervisor.as_ref().zip(disk);
    let supervised = supervised.and_then(|(said, disk)| by_supervisor(said, &placement, disk));
    let whose = stronger(cgroup, supervised, &mut identity.problems)
        .or_else(|| by_mounts(&placement, &claims, texts.uid, disk));
    let Some(Whose { mut container, log }) = whose else {
        identity.unit = placement.unit;
        identity.pod_uid = placement.pod_uid.or(claims.pod_uid);
        return identity;
    };
    add_claims(&mut container, &claims);
    let disk = disk.filter(|_| container.user.is_none());
    let pod_log = disk.and_then(|disk| kubernetes::from_pod_logs(disk.host(), &mut container));
    kubernetes::find_owner(&mut container);
    // Kubernetes knows a container by its name in the pod.
    container.name = container
        .name
        .take()
        .or_else(|| container.pod_container.clone());
    keep_true_evidence(&mut container);
    // What only claims to be a pod's must not get to see its log.
    identity.log = pod_log.filter(|_| container.confidence() == Confidence::Confirmed);
    identity.container = Some(container);
    if let Some((log, problems)) = log {
        identity.log = log.or(identity.log);
        identity.problems.extend(problems);
    }
    identity
}

/// The runtime's own process on the host, from which this one descends, is the last word: an
/// engine within a container may make cgroups anywhere it can reach.
fn stronger(
    cgroup: Option<Whose>,
    supervised: Option<Whose>,
    problems: &mut Vec<String>,
) -> Option<Whose> {
    let (Some(by_cgroup), Some(supervisor)) = (&cgroup, &supervised) else {
        return supervised.or(cgroup);
    };
    let (named, started) = (&by_cgroup.container, &supervisor.container);
    // One shim watches over all containers of a pod, from its sandbox's bundle.
    let in_sandbox = started.sandbox_id.as_ref() == Some(&started.id)
        && (named.source == IdentitySource::Cgroup
            || named.sandbox_id.as_ref() == Some(&started.id));
    if named.id == started.id || in_sandbox {
        return cgroup;
    }
    if named.source != IdentitySource::Cgroup {
        problems.push(format!(
            "its cgroup is that of {} {}, but the runtime's process for {} {} started it",
            named.runtime, named.id, started.runtime, started.id
        ));
    }
    supervised
}

struct Whose {
    container: Container,
    /// From the disk, if it knows the container: its log and what could not be read.
    log: Option<(Option<Log>, Vec<String>)>,
}

fn by_cgroup(
    placement: &Placement,
    disk: Option<&Disk>,
    problems: &mut Vec<String>,
) -> Option<Whose> {
    let find = |candidate: &Candidate| disk?.find(candidate);
    let (at, found) = trusted(&placement.candidates, find, problems)?;
    let candidate = placement.candidates.get(at)?;
    let inner = placement.candidates.get(at.saturating_add(1)..)?;
    let source = match &found {
        Some(found) if found.container.user.is_some() => IdentitySource::CgroupAndUserDisk,
        Some(_) => IdentitySource::CgroupAndDisk,
        None => IdentitySource::Cgroup,
    };
    let mut whose = of_disk(found, candidate.runtime, &candidate.id);
    let container = &mut whose.container;
    container.source = source;
    container.user = container.user.or(candidate.user);
    let mut facts = vec!["runtime", "id"];
    if candidate.pod_uid.is_some() {
        container.pod_uid.clone_from(&candidate.pod_uid);
        facts.push("pod_uid");
    }
    if container.runtime_namespace.is_none() {
        container.runtime_namespace.clone_from(&candidate.namespace);
    }
    container.chain = inner
        .iter()
        .filter(|inner| !inner.only_possible)
        .map(claimed)
        .collect();
    note_first(
        container,
        &facts,
        EvidenceKind::Cgroup,
        candidate.path.clone(),
    );
    Some(whose)
}

fn claimed(candidate: &Candidate) -> ClaimedContainer {
    ClaimedContainer {
        runtime: candidate.runtime.to_owned(),
        id: candidate.id.clone(),
        pod_uid: candidate.pod_uid.clone(),
    }
}

/// The outermost candidate that the disk confirms at its place, or else the outermost named one.
fn trusted(
    candidates: &[Candidate],
    find: impl Fn(&Candidate) -> Option<Found>,
    problems: &mut Vec<String>,
) -> Option<(usize, Option<Found>)> {
    let mut outermost_named = None;
    for (at, candidate) in candidates.iter().enumerate() {
        let outermost = outermost_named.is_none();
        if let Some(found) = find(candidate) {
            if confirms(&found, candidate, outermost) {
                return Some((at, Some(found)));
            }
            if !candidate.only_possible {
                problems.push(format!(
                    "files of {} know a container {}, but not in the cgroup {}",
                    found.container.runtime, candidate.id, candidate.path
                ));
            }
        }
        if !candidate.only_possible {
            outermost_named = outermost_named.or(Some(at));
        }
    }
    outermost_named.map(|at| (at, None))
}

/// Whether a runtime's files speak of this very cgroup. Where they do not say which, being
/// outermost must do: what lies further in could be anybody's.
fn confirms(found: &Found, candidate: &Candidate, outermost: bool) -> bool {
    let by_name = outermost && !candidate.only_possible;
    match &found.place {
        Some(place) => place.is(&candidate.path, by_name && candidate.user.is_none()),
        None => by_name,
    }
}

fn of_disk(found: Option<Found>, runtime: &str, id: &str) -> Whose {
    match found {
        Some(found) => Whose {
            container: found.container,
            log: Some((found.log, found.problems)),
        },
        None => Whose {
            container: Container {
                runtime: runtime.to_owned(),
                id: id.to_owned(),
                ..Container::default()
            },
            log: None,
        },
    }
}

/// The container that the runtime's own process watches over from the host.
fn by_supervisor(supervisor: &Supervisor, placement: &Placement, disk: &Disk) -> Option<Whose> {
    let found = disk.find_supervised(supervisor)?;
    let (runtime, id) = (found.container.runtime.clone(), found.container.id.clone());
    let mut whose = of_disk(Some(found), &runtime, &id);
    whose.container.source = IdentitySource::Supervisor;
    let others = placement.named().filter(|named| named.id != id);
    whose.container.chain = others.map(claimed).collect();
    let is_named = placement.named().any(|named| named.id == id);
    if whose.container.sandbox == Some(true) && !is_named {
        // In this pod, but in which of its containers nothing says.
        whose.container.sandbox = None;
    }
    let (Supervisor::Bundle(said) | Supervisor::Machine(said)) = supervisor;
    let facts = ["runtime", "id"];
    note_first(
        &mut whose.container,
        &facts,
        EvidenceKind::Supervisor,
        said.clone(),
    );
    Some(whose)
}

/// The container that only the mounts name. The user whose engine it may be is the one in whose
/// session it runs, or whose ids it has.
fn by_mounts(
    placement: &Placement,
    claims: &Claims,
    uid: Option<u32>,
    disk: Option<&Disk>,
) -> Option<Whose> {
    let Named { runtime, id, path } = claims.container()?;
    let lender = |uid: u32| disk?.host().lender(uid);
    let own = uid.filter(|uid| *uid != 0);
    let user = placement.user.or(own.map(|uid| lender(uid).unwrap_or(uid)));
    let users = [user, None];
    let found = users
        .iter()
        .find_map(|user| disk?.find_mounted(runtime, id, *user));
    let source = match found {
        Some(_) => IdentitySource::MountinfoAndDisk,
        None => IdentitySource::Mountinfo,
    };
    let runtime = match claims.pod_uid {
        Some(_) if *runtime == "podman" => "cri-o",
        _ => runtime,
    };
    let mut whose = of_disk(found, runtime, id);
    whose.container.source = source;
    let facts = ["runtime", "id"];
    note_first(
        &mut whose.container,
        &facts,
        EvidenceKind::Mountinfo,
        path.clone(),
    );
    Some(whose)
}

/// Adds what the mounts say of the pod. They tell of the innermost container, so that they say
/// nothing of one that holds others.
fn add_claims(container: &mut Container, claims: &Claims) {
    let same_pod = match (&container.pod_uid, &claims.pod_uid) {
        (Some(ours), Some(claimed)) => ours == claimed,
        (Some(_), None) => false,
        (None, claimed) => claimed.is_some(),
    };
    if !container.chain.is_empty() || !same_pod {
        return;
    }
    let mut facts = Vec::new();
    let sandbox = claims.sandbox().map(str::to_owned);
    for (fact, field, claim) in [
        ("pod_uid", &mut container.pod_uid, claims.pod_uid.clone()),
        (
            "pod_container",
            &mut container.pod_container,
            claims.pod_container.clone(),
        ),
        ("sandbox_id", &mut container.sandbox_id, sandbox),
    ] {
        if field.is_none() && claim.is_some() {
            *field = claim;
            facts.push(fact);
        }
    }
    if container.sandbox.is_none() && container.pod_container.is_some() {
        container.sandbox = Some(false);
        facts.push("sandbox");
    }
    if !facts.is_empty() {
        note_last(
            container,
            &facts,
            EvidenceKind::Mountinfo,
            "the kubelet's mounts".to_owned(),
        );
    }
}

/// Files are noted with all they may tell; what they did not tell goes.
fn keep_true_evidence(container: &mut Container) {
    let Ok(facts) = serde_json::to_value(&*container) else {
        return;
    };
    let known = |fact: &String| {
        let value = facts.get(fact).unwrap_or(&Value::Null);
        let empty = value.is_null()
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(serde_json::Map::is_empty);
        !empty
    };
    for evidence in &mut container.evidence {
        evidence.facts.retain(known);
    }
    container
        .evidence
        .retain(|evidence| !evidence.facts.is_empty());
}

fn evidence(facts: &[&str], from: EvidenceKind, detail: String) -> Evidence {
    Evidence {
        facts: facts.iter().map(|fact| (*fact).to_owned()).collect(),
        from,
        detail,
    }
}

fn note_first(container: &mut Container, facts: &[&str], from: EvidenceKind, detail: String) {
    container.evidence.insert(0, evidence(facts, from, detail));
}

fn note_last(container: &mut Container, facts: &[&str], from: EvidenceKind, detail: String) {
    container.evidence.push(evidence(facts, from, detail));
}

#[cfg(test)]
mod tests;

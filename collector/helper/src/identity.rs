//! Decides which of the containers named by a cgroup is believed.

use crate::container::Candidate;
use crate::disk::docker::Found;
use crate::record::{ClaimedContainer, Container, IdentitySource};

/// The outermost container that the disk confirms, or else the outermost named. Those further in
/// could be made up by the one that holds them, so they are only listed.
pub(crate) fn trusted(
    candidates: &[Candidate],
    find: impl Fn(&str) -> Option<Found>,
) -> Option<(Container, Option<Found>)> {
    let candidates: Vec<&Candidate> = candidates
        .iter()
        .filter(|candidate| !candidate.only_possible)
        .collect();
    let confirmed = candidates
        .iter()
        .enumerate()
        .find_map(|(at, candidate)| Some((at, find(&candidate.id)?)));
    let (at, found) = confirmed.map_or((0, None), |(at, found)| (at, Some(found)));
    let candidate = candidates.get(at)?;
    let inner = candidates.iter().skip(at.saturating_add(1));
    let claimed = |inner: &&Candidate| ClaimedContainer {
        runtime: inner.runtime.to_owned(),
        id: inner.id.clone(),
    };
    let identity = found
        .as_ref()
        .map(|found| found.container.clone())
        .unwrap_or_default();
    let (runtime, source) = match &found {
        Some(_) => ("docker", IdentitySource::CgroupAndDisk),
        None => (candidate.runtime, IdentitySource::Cgroup),
    };
    let container = Container {
        runtime: runtime.to_owned(),
        id: candidate.id.clone(),
        pod_uid: candidate.pod_uid.clone(),
        source,
        chain: inner.map(claimed).collect(),
        ..identity
    };
    Some((container, found))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn candidate(id: char) -> Candidate {
        Candidate {
            runtime: "containerd",
            namespace: None,
            id: id.to_string().repeat(64),
            pod_uid: None,
            path: format!("/{id}"),
            user: None,
            only_possible: false,
        }
    }

    fn on_disk(known: &'static str) -> impl Fn(&str) -> Option<Found> {
        move |id| {
            let container = Container {
                id: id.to_owned(),
                name: Some("web".to_owned()),
                ..Container::default()
            };
            id.starts_with(known).then_some(Found {
                container,
                log: None,
                problems: vec![],
            })
        }
    }

    #[test]
    fn the_outermost_confirmed_container_is_trusted() {
        let both = [candidate('a'), candidate('b')];
        let (container, _) = trusted(&both, on_disk("a")).unwrap();
        assert_eq!(
            (container.id.chars().next(), container.runtime.as_str()),
            (Some('a'), "docker")
        );
        assert_eq!(container.source, IdentitySource::CgroupAndDisk);
        assert_eq!(container.chain.len(), 1);
        // A level above that is only shaped like a container does not hide the real one.
        let (container, _) = trusted(&both, on_disk("b")).unwrap();
        assert_eq!(
            (container.id.chars().next(), container.chain.len()),
            (Some('b'), 0)
        );
        let (container, _) = trusted(&both, on_disk("x")).unwrap();
        assert_eq!(
            (container.id.chars().next(), container.source),
            (Some('a'), IdentitySource::Cgroup)
        );
        assert!(trusted(&[], on_disk("a")).is_none());
    }
}

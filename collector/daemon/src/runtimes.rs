//! Asks container engines what the helper could not read on disk. Always after the release, always
//! with a deadline; what an engine had said before the crash is preferred to asking, because a
//! container with `--rm` is gone by now.
//!
//! An engine's word only adds: it does not replace what the host's files said, and it does not make
//! a claimed identity a confirmed one, for it knows containers and not which of them crashed.

mod cache;
mod docker;

use crate::daemon::Inner;
use crate::status::EngineStatus;
use aground_helper::record::{Container, Evidence, EvidenceKind, Record};
use cache::Facts;
use docker::Docker;
use std::path::PathBuf;
use std::sync::Arc;

/// The engines of this host.
pub(crate) struct Engines {
    docker: Option<Docker>,
}

impl Engines {
    /// Engines at the configured sockets; an empty path is none.
    pub(crate) fn new(docker: PathBuf) -> Self {
        let docker = Some(docker).filter(|socket| !socket.as_os_str().is_empty());
        Self {
            docker: docker.map(Docker::new),
        }
    }

    /// How it stands with each.
    pub(crate) fn status(&self) -> Vec<EngineStatus> {
        self.docker.iter().map(Docker::status).collect()
    }

    /// Completes the container of a record. Says whether anything changed. Blocks, seconds at most.
    pub(crate) fn complete(&self, record: &mut Record) -> bool {
        let Some(container) = &mut record.container else {
            return false;
        };
        let Some(docker) = self.docker.as_ref().filter(|_| asks_docker(container)) else {
            return false;
        };
        let detail = docker.socket().display().to_string();
        if let Some(facts) = docker.cached(&container.id) {
            return fill(container, facts, EvidenceKind::EventCache, detail);
        }
        match docker.ask(&container.id) {
            Ok(Some(facts)) => fill(container, facts, EvidenceKind::RuntimeApi, detail),
            Ok(None) => false,
            Err(error) => {
                let problem = format!("the engine could not be asked about the container: {error}");
                record.problems.push(problem);
                true
            }
        }
    }
}

/// Whether Docker could know more. Of a user's container it knows nothing: that is another engine's.
fn asks_docker(container: &Container) -> bool {
    let full = container.id.len() == 64 && container.id.bytes().all(|b| b.is_ascii_hexdigit());
    let lacks = container.name.is_none() || container.image.is_none();
    container.runtime == "docker" && container.user.is_none() && full && lacks
}

/// Puts facts where there are none.
fn fill(container: &mut Container, facts: Facts, from: EvidenceKind, detail: String) -> bool {
    let mut filled = vec![];
    for (name, field, value) in [
        ("name", &mut container.name, facts.name),
        ("image", &mut container.image, facts.image),
        ("image_id", &mut container.image_id, facts.image_id),
        ("hostname", &mut container.hostname, facts.hostname),
        ("started_at", &mut container.started_at, facts.started_at),
        ("log_driver", &mut container.log_driver, facts.log_driver),
    ] {
        if field.is_none() && value.is_some() {
            *field = value;
            filled.push(name.to_owned());
        }
    }
    for (name, field, value) in [
        (
            "restart_count",
            &mut container.restart_count,
            facts.restart_count,
        ),
        (
            "memory_limit",
            &mut container.memory_limit,
            facts.memory_limit,
        ),
    ] {
        if field.is_none() && value.is_some() {
            *field = value;
            filled.push(name.to_owned());
        }
    }
    if container.image_digests.is_empty() && !facts.image_digests.is_empty() {
        container.image_digests = facts.image_digests;
        filled.push("image_digests".to_owned());
    }
    if container.labels.is_empty() && !facts.labels.is_empty() {
        container.labels = facts.labels;
        filled.push("labels".to_owned());
    }
    let changed = !filled.is_empty();
    if changed {
        container.evidence.push(Evidence {
            facts: filled,
            from,
            detail,
        });
    }
    changed
}

/// Follows the engines until the daemon stops.
pub(crate) async fn run(daemon: Arc<Inner>) {
    if let Some(docker) = &daemon.engines.docker {
        tokio::select! {
            () = daemon.stopped() => {}
            () = docker.follow() => {}
        }
    }
}

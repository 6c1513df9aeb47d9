//! Asks container engines what the helper could not read on disk. Always after the release, always
//! with a deadline; what an engine had said before the crash is preferred to asking, because a
//! container with `--rm` is gone by now.
//!
//! An engine's word only adds: it does not replace what the host's files said, and it does not make
//! a claimed identity a confirmed one, for it knows containers and not which of them crashed.

mod cache;
mod cri;
mod docker;

use crate::config::Runtimes;
use crate::daemon::Inner;
use crate::status::EngineStatus;
use aground_helper::record::{Container, Evidence, EvidenceKind, Record};
use cache::Facts;
use cri::Cri;
use docker::Docker;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The engines of this host.
pub(crate) struct Engines {
    docker: Option<Docker>,
    cri: Vec<Cri>,
}

impl Engines {
    /// Engines at the configured sockets; an empty path is none.
    pub(crate) fn new(config: &Runtimes) -> Self {
        let docker = Some(&config.docker).filter(|socket| !socket.as_os_str().is_empty());
        Self {
            docker: docker.cloned().map(Docker::new),
            cri: config.cri.iter().cloned().map(Cri::new).collect(),
        }
    }

    /// How it stands with those that are followed.
    pub(crate) fn status(&self) -> Vec<EngineStatus> {
        self.docker.iter().map(Docker::status).collect()
    }

    /// Completes the container of a record. Says whether anything changed. Blocks, seconds at most.
    pub(crate) fn complete(&self, record: &mut Record) -> bool {
        let Some(container) = record.container.as_mut().filter(|one| lacks(one)) else {
            return false;
        };
        let told = match container.runtime.as_str() {
            "docker" => self.of_docker(&container.id),
            "containerd" | "cri-o" => self.of_cri(&container.id),
            _ => return false,
        };
        match told {
            Ok(Some((facts, from, socket))) => {
                fill(container, facts, from, socket.display().to_string())
            }
            Ok(None) => false,
            Err(error) => {
                let problem = format!("the engine could not be asked about the container: {error}");
                record.problems.push(problem);
                true
            }
        }
    }

    fn of_docker(&self, id: &str) -> Told<'_> {
        let Some(docker) = &self.docker else {
            return Ok(None);
        };
        if let Some(facts) = docker.cached(id) {
            return Ok(Some((facts, EvidenceKind::EventCache, docker.socket())));
        }
        let asked = docker.ask(id)?;
        Ok(asked.map(|facts| (facts, EvidenceKind::RuntimeApi, docker.socket())))
    }

    /// The first that knows it; where none does, why one could not say.
    fn of_cri(&self, id: &str) -> Told<'_> {
        let mut failed = None;
        for cri in &self.cri {
            match cri.ask(id) {
                Ok(Some(facts)) => {
                    return Ok(Some((facts, EvidenceKind::RuntimeApi, cri.socket())));
                }
                Ok(None) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(None), Err)
    }
}

/// An engine that could not answer is left alone for a while: crashes wait to be taken in.
#[derive(Debug, Default)]
struct Silence(Mutex<Option<Instant>>);

impl Silence {
    /// How long it lasts.
    const LENGTH: Duration = Duration::from_mins(1);

    fn begin(&self) {
        *self.until() = Instant::now().checked_add(Self::LENGTH);
    }

    /// An error while it lasts.
    fn check(&self) -> Result<(), String> {
        match *self.until() {
            Some(until) if Instant::now() < until => {
                Err("it did not answer a short while ago".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an engine said, how it is known, and at which socket.
type Told<'a> = Result<Option<(Facts, EvidenceKind, &'a Path)>, String>;

/// Whether an engine could know more. Of a user's container those of the host know nothing.
fn lacks(container: &Container) -> bool {
    let full = container.id.len() == 64 && container.id.bytes().all(|b| b.is_ascii_hexdigit());
    let lacks = container.name.is_none() || container.image.is_none();
    container.user.is_none() && full && lacks
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
        ("pod_name", &mut container.pod_name, facts.pod_name),
        (
            "pod_namespace",
            &mut container.pod_namespace,
            facts.pod_namespace,
        ),
        ("pod_uid", &mut container.pod_uid, facts.pod_uid),
        (
            "pod_container",
            &mut container.pod_container,
            facts.pod_container,
        ),
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

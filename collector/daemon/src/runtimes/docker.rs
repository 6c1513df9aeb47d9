//! The Docker engine, over its socket: followed by its events, asked where those were missed.

use super::Silence;
use super::cache::{Cache, Facts};
use crate::status::EngineStatus;
use aground_helper::text::escape_bytes;
use bollard::errors::Error::{DockerResponseServerError, RequestTimeoutError};
use bollard::models::{ContainerInspectResponse, EventMessage};
use bollard::query_parameters::{EventsOptionsBuilder, ListContainersOptionsBuilder};
use bollard::{API_DEFAULT_VERSION, Docker as Client};
use futures_util::StreamExt;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long an answer may take. Crashes wait to be taken in meanwhile.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// How long to wait before following it again.
const AGAIN: Duration = Duration::from_secs(10);
/// Containers asked about when the engine is followed anew.
const MOST: usize = 1024;
/// Bytes kept of a text, and labels of a container.
const MAX_TEXT: usize = 4096;
pub(super) const MAX_LABELS: usize = 1024;

/// One engine.
pub(crate) struct Docker {
    socket: PathBuf,
    cache: Mutex<Cache>,
    silence: Silence,
    /// Why it is not followed.
    trouble: Mutex<Option<String>>,
}

impl Docker {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            cache: Mutex::default(),
            silence: Silence::default(),
            trouble: Mutex::new(Some("not yet".to_owned())),
        }
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// How it stands with it.
    pub(crate) fn status(&self) -> EngineStatus {
        EngineStatus {
            runtime: "docker".to_owned(),
            socket: self.socket.display().to_string(),
            containers: u64::try_from(lock(&self.cache).len()).unwrap_or(0),
            trouble: lock(&self.trouble).clone(),
        }
    }

    /// What its events told of a container.
    pub(crate) fn cached(&self, id: &str) -> Option<Facts> {
        lock(&self.cache).get(id).cloned()
    }

    /// Asks about a container, by its full id. `None` when it knows none, or there is no engine.
    /// Blocks, for [`PATIENCE`] at most.
    pub(crate) fn ask(&self, id: &str) -> Result<Option<Facts>, String> {
        self.silence.check()?;
        let Some(client) = self.client().ok().filter(|_| may_use(&self.socket)) else {
            return Ok(None);
        };
        let asked = async {
            let client = negotiated(client).await?;
            inspect(&client, id).await
        };
        let failed = match Handle::current().block_on(timeout(PATIENCE, asked)) {
            Ok(Ok(facts)) => return Ok(Some(facts)),
            Ok(Err(DockerResponseServerError {
                status_code: 404, ..
            })) => return Ok(None),
            // It answers, if not this.
            Ok(Err(error @ DockerResponseServerError { .. })) => return Err(error.to_string()),
            Ok(Err(RequestTimeoutError)) | Err(_) => "it did not answer".to_owned(),
            Ok(Err(error)) => error.to_string(),
        };
        self.silence.begin();
        Err(failed)
    }

    /// Follows its events for ever.
    pub(crate) async fn follow(&self) {
        loop {
            let trouble = if may_use(&self.socket) {
                match self.follow_once().await {
                    Err(error) => error.to_string(),
                    Ok(()) => "it ended the connection".to_owned(),
                }
            } else {
                "there is no socket that the service may use; its files count".to_owned()
            };
            tracing::debug!(trouble, socket = %self.socket.display(), "the Docker engine is not followed");
            *lock(&self.trouble) = Some(trouble);
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn follow_once(&self) -> Result<(), bollard::errors::Error> {
        let client = negotiated(self.client()?).await?;
        let only = HashMap::from([("type", vec!["container"])]);
        let options = EventsOptionsBuilder::default().filters(&only).build();
        // From here nothing is missed; what was there before comes from the list.
        let mut events = std::pin::pin!(client.events(Some(options)));
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let all = client.list_containers(Some(options)).await?;
        for container in all.into_iter().take(MOST) {
            self.learn(&client, container.id).await;
        }
        *lock(&self.trouble) = None;
        while let Some(event) = events.next().await {
            self.learn(&client, container_of(event?)).await;
        }
        Ok(())
    }

    async fn learn(&self, client: &Client, id: Option<String>) {
        let Some(id) = id.filter(|id| id.len() == 64) else {
            return;
        };
        // One that is gone already keeps what was known of it.
        if let Ok(Ok(facts)) = timeout(PATIENCE, inspect(client, &id)).await {
            lock(&self.cache).learn(id, facts);
        }
    }

    fn client(&self) -> Result<Client, bollard::errors::Error> {
        let path = self.socket.to_string_lossy();
        Client::connect_with_unix(&path, PATIENCE.as_secs(), API_DEFAULT_VERSION)
    }
}

/// Whether the socket is there and this user may talk to it. Most may not: it is as good as root.
pub(super) fn may_use(socket: &Path) -> bool {
    rustix::fs::access(socket, rustix::fs::Access::WRITE_OK).is_ok()
}

/// Engines refuse a version newer than theirs.
async fn negotiated(client: Client) -> Result<Client, bollard::errors::Error> {
    client.negotiate_version().await
}

/// The container of an event that may have changed what is known of it.
fn container_of(event: EventMessage) -> Option<String> {
    let action = event.action?;
    let news = ["create", "start", "rename", "update"].contains(&action.as_str());
    event.actor.filter(|_| news)?.id
}

async fn inspect(client: &Client, id: &str) -> Result<Facts, bollard::errors::Error> {
    let container = client.inspect_container(id, None).await?;
    let digests = match container.image.as_deref() {
        // The image may be gone while its container is not.
        Some(image) => client.inspect_image(image).await.ok(),
        None => None,
    };
    let digests = digests.and_then(|image| image.repo_digests);
    Ok(facts(container, digests.unwrap_or_default()))
}

fn facts(container: ContainerInspectResponse, digests: Vec<String>) -> Facts {
    let text = |text: Option<String>| bounded(&text?);
    let count = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    let config = container.config.unwrap_or_default();
    let host = container.host_config.unwrap_or_default();
    let name = container
        .name
        .map(|name| name.trim_start_matches('/').to_owned());
    let labels = config.labels.unwrap_or_default().into_iter();
    let labels: BTreeMap<String, String> = labels
        .map(|(name, value)| {
            let short = |text: &str| escape_bytes(text.as_bytes(), MAX_TEXT);
            (short(&name), short(&value))
        })
        .take(MAX_LABELS)
        .collect();
    let log = host.log_config.and_then(|log| log.typ);
    Facts {
        name: text(name),
        image: text(config.image),
        image_id: text(container.image),
        image_digests: digests
            .into_iter()
            .filter_map(|digest| text(Some(digest)))
            .take(64)
            .collect(),
        labels,
        hostname: text(config.hostname),
        started_at: text(container.state.and_then(|state| state.started_at))
            .filter(|time| !time.starts_with("0001-")),
        restart_count: count(container.restart_count),
        memory_limit: count(host.memory).filter(|limit| *limit > 0),
        log_driver: text(log),
        ..Facts::default()
    }
}

/// A text of bounded length; `None` for an empty one.
pub(super) fn bounded(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| escape_bytes(text.as_bytes(), MAX_TEXT))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

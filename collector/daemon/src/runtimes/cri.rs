//! A runtime of Kubernetes (containerd, CRI-O), over its CRI socket: asked where its files did not
//! say enough. The messages are the few fields of `runtime.v1` that are needed
//! (k8s.io/cri-api pkg/apis/runtime/v1/api.proto).

use super::Silence;
use super::cache::Facts;
use super::docker::{MAX_LABELS, PATIENCE, bounded, may_use};
use hyper_util::rt::TokioIo;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Endpoint, Uri};
use tonic_prost::ProstCodec;

const STATUS: &str = "/runtime.v1.RuntimeService/ContainerStatus";
/// The most of an answer that is read, bytes.
const MAX_ANSWER: usize = 1 << 20;

#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {
    #[prost(string, tag = "1")]
    container_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(message, optional, tag = "2")]
    metadata: Option<Metadata>,
    #[prost(message, optional, tag = "8")]
    image: Option<Image>,
    #[prost(string, tag = "9")]
    image_ref: String,
    #[prost(map = "string, string", tag = "12")]
    labels: HashMap<String, String>,
    #[prost(map = "string, string", tag = "13")]
    annotations: HashMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Metadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint32, tag = "2")]
    attempt: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Image {
    #[prost(string, tag = "1")]
    image: String,
}

/// The runtime at a socket.
pub(crate) struct Cri {
    socket: PathBuf,
    silence: Silence,
}

impl Cri {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            silence: Silence::default(),
        }
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks about a container, by its full id. `None` when it knows none, or may not be asked.
    /// Blocks, for [`PATIENCE`] at most.
    pub(crate) fn ask(&self, id: &str) -> Result<Option<Facts>, String> {
        if !may_use(&self.socket) {
            return Ok(None);
        }
        self.silence.check()?;
        let failed = match Handle::current().block_on(timeout(PATIENCE, status(&self.socket, id))) {
            Ok(Ok(status)) => return Ok(Some(facts(status))),
            Ok(Err(error)) if error.code() == tonic::Code::NotFound => return Ok(None),
            Ok(Err(error)) => bounded(error.message()).unwrap_or_default(),
            Err(_) => "it did not answer".to_owned(),
        };
        self.silence.begin();
        Err(failed)
    }
}

async fn status(socket: &Path, id: &str) -> Result<Status, tonic::Status> {
    let unreachable = |error: &dyn std::fmt::Display| tonic::Status::unavailable(error.to_string());
    let path = socket.to_owned();
    let connect = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    // The address is not used, but must be one.
    let channel = Endpoint::from_static("http://localhost")
        .connect_with_connector(connect)
        .await
        .map_err(|error| unreachable(&error))?;
    let mut client = Grpc::new(channel).max_decoding_message_size(MAX_ANSWER);
    client.ready().await.map_err(|error| unreachable(&error))?;
    let request = StatusRequest {
        container_id: id.to_owned(),
    };
    let codec: ProstCodec<StatusRequest, StatusResponse> = ProstCodec::default();
    let path = PathAndQuery::from_static(STATUS);
    let answer = client
        .unary(tonic::Request::new(request), path, codec)
        .await?
        .into_inner();
    answer
        .status
        .ok_or_else(|| tonic::Status::not_found("an empty answer"))
}

/// What the container is; the pod's own labels are with its sandbox, which is not asked.
fn facts(status: Status) -> Facts {
    let metadata = status.metadata.unwrap_or_default();
    let pairs = status.annotations.into_iter().chain(status.labels);
    let labels: BTreeMap<String, String> = pairs
        .filter_map(|(name, value)| Some((bounded(&name)?, bounded(&value).unwrap_or_default())))
        .take(MAX_LABELS)
        .collect();
    let label = |name: &str| labels.get(name).cloned();
    let restarts = label("io.kubernetes.container.restartCount");
    let restarts = restarts.and_then(|count| count.parse().ok());
    let digest = Some(&status.image_ref).filter(|reference| reference.contains("@sha256:"));
    Facts {
        name: bounded(&metadata.name),
        image: bounded(&status.image.unwrap_or_default().image),
        image_digests: digest
            .and_then(|digest| bounded(digest))
            .into_iter()
            .collect(),
        image_id: bounded(&status.image_ref).filter(|reference| reference.starts_with("sha256:")),
        restart_count: restarts.or(Some(metadata.attempt.into())),
        pod_name: label("io.kubernetes.pod.name"),
        pod_namespace: label("io.kubernetes.pod.namespace"),
        pod_uid: label("io.kubernetes.pod.uid"),
        pod_container: label("io.kubernetes.container.name"),
        labels,
        ..Facts::default()
    }
}

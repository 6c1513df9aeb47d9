//! Speaks to the service's API over its unix socket, over TCP, or through `ssh`.
//!
//! One connection per request: a command makes few of them, and a socket costs nothing.

pub mod credentials;
mod resumable;
pub mod ssh;

use crate::problem::ProblemBody;
use bytes::Bytes;
use credentials::Credentials;
use futures_util::{Stream, TryStreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, LengthLimitError, Limited, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::http1;
use hyper::http::request::Builder;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use ssh::Destination;
use std::fmt;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

/// How long a service may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to begin an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// The largest JSON answer that is read.
const MAX_JSON: usize = 256 << 20;

/// What a request carries.
type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Where the service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
    /// `host:port`, by TLS.
    Tls(String),
    /// The unix socket of another machine, through `ssh`.
    Ssh(Destination),
}

impl Endpoint {
    /// `/run/aground/api.sock`.
    pub fn local() -> Self {
        let directory = PathBuf::from(aground_helper::layout::RUNTIME_DIR);
        Endpoint::Unix(directory.join(crate::serve::SOCKET))
    }
}

/// The text names no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no address of a daemon: use unix:///path/to/api.sock, http://127.0.0.1:7400, https://host or ssh://user@host"
)]
pub struct InvalidEndpoint(String);

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidEndpoint(text.to_owned());
        if let Some(path) = text.strip_prefix("unix://") {
            let absolute = path.starts_with('/');
            return absolute
                .then(|| Endpoint::Unix(path.into()))
                .ok_or_else(invalid);
        }
        if let Some(destination) = text.strip_prefix("ssh://") {
            let destination = destination.strip_suffix('/').unwrap_or(destination);
            return Destination::parse(destination)
                .map(Endpoint::Ssh)
                .ok_or_else(invalid);
        }
        let (tls, authority) = match text.strip_prefix("https://") {
            Some(authority) => (true, authority),
            None => (false, text.strip_prefix("http://").ok_or_else(invalid)?),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let parsed: hyper::http::uri::Authority = authority.parse().map_err(|_| invalid())?;
        let plain = !parsed.host().is_empty() && !authority.contains('@');
        let port = parsed.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let address = format!("{}:{port}", parsed.host());
        let endpoint = if tls {
            Endpoint::Tls(address)
        } else {
            Endpoint::Tcp(address)
        };
        plain.then_some(endpoint).ok_or_else(invalid)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Unix(path) => write!(f, "unix://{}", path.display()),
            Endpoint::Tcp(address) => write!(f, "http://{address}"),
            Endpoint::Tls(address) => write!(f, "https://{address}"),
            Endpoint::Ssh(destination) => write!(f, "ssh://{destination}"),
        }
    }
}

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error("cannot reach the aground daemon at {endpoint}: is it running? (aground serve)")]
    Unreachable {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        source: io::Error,
    },
    /// Somebody does, but not to this user.
    #[error("may not talk to the aground daemon at {0}: permission denied (try sudo)")]
    Forbidden(Endpoint),
    /// The token would cross a network in the clear.
    #[error("refusing to show the access token to {0} in the clear: use https://")]
    InTheClear(Endpoint),
    /// No connection by TLS.
    #[error("cannot reach the aground daemon at {endpoint}: {reason}")]
    Tls {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        reason: String,
    },
    /// `ssh` ended before the daemon said anything; it has said why itself.
    #[error("cannot reach the aground daemon at {0}: the connection ended without an answer")]
    Tunnel(Endpoint),
    /// The daemon says no; the sentence is its own.
    #[error("{}", .0.detail)]
    Refused(Box<ProblemBody>),
    /// What came is no answer of ours.
    #[error("unexpected answer from {endpoint}: {reason}")]
    Broken {
        /// Where it came from.
        endpoint: Endpoint,
        /// What is wrong with it.
        reason: String,
    },
}

impl ClientError {
    /// Where root on this host finds what the daemon may not hand out.
    pub fn root_only(&self) -> Option<&Path> {
        match self {
            ClientError::Refused(problem) if problem.code == "root-only" => problem.path.as_deref(),
            _ => None,
        }
    }

    /// Whether the daemon says that the thing asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, ClientError::Refused(problem) if problem.code == "not-found")
    }
}

/// A client of one daemon.
#[derive(Clone, Debug)]
pub struct Client {
    endpoint: Endpoint,
    credentials: Credentials,
}

impl Client {
    /// A client of the daemon at `endpoint`; connects when asked something.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            credentials: credentials::chosen(),
        }
    }

    /// Whether the daemon is on this machine, so that paths it names are paths here.
    pub fn is_local(&self) -> bool {
        matches!(self.endpoint, Endpoint::Unix(_))
    }

    /// Gets JSON.
    pub async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T, ClientError> {
        self.json(Method::GET, target).await
    }

    /// Deletes, and reads what the daemon says about it.
    pub async fn delete<T: DeserializeOwned>(&self, target: &str) -> Result<T, ClientError> {
        self.json(Method::DELETE, target).await
    }

    /// Posts nothing, and reads what the daemon says about it.
    pub async fn post<T: DeserializeOwned>(&self, target: &str) -> Result<T, ClientError> {
        self.json(Method::POST, target).await
    }

    /// Posts JSON, and reads what the daemon says about it.
    pub async fn post_json<T: DeserializeOwned>(
        &self,
        target: &str,
        body: &impl serde::Serialize,
    ) -> Result<T, ClientError> {
        let json = serde_json::to_vec(body).map_err(|error| self.broken(error))?;
        let body = Full::new(Bytes::from(json))
            .map_err(|never| match never {})
            .boxed_unsync();
        let request = Request::post(target).header(header::CONTENT_TYPE, "application/json");
        let response = self.request(request, body, Some(ANSWER_TIMEOUT)).await?;
        self.parsed(response).await
    }

    /// Puts nothing, and reads what the daemon says about it.
    pub async fn put<T: DeserializeOwned>(&self, target: &str) -> Result<T, ClientError> {
        self.json(Method::PUT, target).await
    }

    /// Posts a stream of bytes, and reads what the daemon says about it when it has them all.
    pub async fn upload<T: DeserializeOwned>(
        &self,
        target: &str,
        bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<T, ClientError> {
        let body = StreamBody::new(bytes.map_ok(Frame::data)).boxed_unsync();
        let response = self.request(Request::post(target), body, None).await?;
        self.parsed(response).await
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
    ) -> Result<T, ClientError> {
        let response = self.open(method, target).await?;
        self.parsed(response).await
    }

    async fn parsed<T: DeserializeOwned>(
        &self,
        response: Response<Incoming>,
    ) -> Result<T, ClientError> {
        let body = response.into_body();
        let body = self.whole(body).await?;
        serde_json::from_slice(&body).map_err(|error| self.broken(error))
    }

    /// Gets text.
    pub async fn text(&self, target: &str) -> Result<String, ClientError> {
        let body = self.open(Method::GET, target).await?.into_body();
        let body = self.whole(body).await?;
        String::from_utf8(body.into()).map_err(|error| self.broken(error))
    }

    /// Gets an answer whose body is read by the caller, piece by piece, with [`Self::piece`].
    pub async fn stream(&self, target: &str) -> Result<Download, ClientError> {
        let body = self.open(Method::GET, target).await?.into_body();
        let size = body.size_hint().exact();
        Ok(Download { body, size })
    }

    /// The next bytes of a download; `None` at its end.
    pub async fn piece(&self, download: &mut Download) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = download.body.frame().await {
            let frame = frame.map_err(|error| self.broken(crate::problem::chain(&error)))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    async fn whole(&self, body: Incoming) -> Result<Bytes, ClientError> {
        let collected = Limited::new(body, MAX_JSON).collect().await;
        let collected =
            collected.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
                Some(_) => self.broken("it is too long"),
                None => self.broken(error),
            })?;
        Ok(collected.to_bytes())
    }

    async fn open(&self, method: Method, target: &str) -> Result<Response<Incoming>, ClientError> {
        let nothing = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let patience = Some(ANSWER_TIMEOUT);
        let request = Request::builder().method(method).uri(target);
        self.request(request, nothing, patience).await
    }

    /// An answer may take `patience`; without, as long as it takes to send the body.
    async fn request(
        &self,
        request: Builder,
        body: Body,
        patience: Option<Duration>,
    ) -> Result<Response<Incoming>, ClientError> {
        let response = match &self.endpoint {
            Endpoint::Unix(path) => {
                let stream = self.connect(UnixStream::connect(path)).await?;
                let request = request.header(header::HOST, "localhost");
                self.send(stream, request, body, patience).await?
            }
            Endpoint::Tcp(address) => {
                let request = self.with_token(request)?.header(header::HOST, address);
                let stream = self.connect(TcpStream::connect(address)).await?;
                self.send(stream, request, body, patience).await?
            }
            Endpoint::Tls(address) => {
                let request = self.with_token(request)?.header(header::HOST, address);
                let stream = self.connect(self.handshake(address)).await?;
                self.send(stream, request, body, patience).await?
            }
            Endpoint::Ssh(destination) => {
                let request = request.header(header::HOST, "localhost");
                let stream = self.connect(async { destination.dial() }).await?;
                self.send(stream, request, body, patience).await?
            }
        };
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    /// The token is for remote daemons; it does not cross a network in the clear.
    fn with_token(&self, request: Builder) -> Result<Builder, ClientError> {
        let Some(token) = &self.credentials.token else {
            return Ok(request);
        };
        if let Endpoint::Tcp(address) = &self.endpoint
            && !is_loopback(address)
        {
            return Err(ClientError::InTheClear(self.endpoint.clone()));
        }
        Ok(request.header(header::AUTHORIZATION, format!("Bearer {token}")))
    }

    async fn handshake(&self, address: &str) -> io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(self.credentials.authorities()?);
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?;
        let stream = TcpStream::connect(address).await?;
        connector.connect(name, stream).await
    }

    async fn connect<S>(
        &self,
        connecting: impl Future<Output = io::Result<S>>,
    ) -> Result<S, ClientError> {
        let connected = timeout(CONNECT_TIMEOUT, connecting).await;
        connected
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|source| {
                let endpoint = self.endpoint.clone();
                if source.kind() == io::ErrorKind::PermissionDenied {
                    return ClientError::Forbidden(endpoint);
                }
                if matches!(endpoint, Endpoint::Tls(_)) {
                    let reason = source.to_string();
                    return ClientError::Tls { endpoint, reason };
                }
                ClientError::Unreachable { endpoint, source }
            })
    }

    async fn send<S>(
        &self,
        stream: S,
        request: Builder,
        body: Body,
        patience: Option<Duration>,
    ) -> Result<Response<Incoming>, ClientError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.broken(error))?;
        tokio::spawn(connection);
        let agent = concat!("aground/", env!("CARGO_PKG_VERSION"));
        let request = request
            .header(header::USER_AGENT, agent)
            .body(body)
            .map_err(|error| self.broken(error))?;
        let answer = sender.send_request(request);
        let answer = match patience {
            Some(patience) => match timeout(patience, answer).await {
                Ok(answer) => answer,
                Err(_) => return Err(self.broken("none came within a minute")),
            },
            None => answer.await,
        };
        answer.map_err(|error| match &self.endpoint {
            Endpoint::Ssh(_) => ClientError::Tunnel(self.endpoint.clone()),
            _ => self.broken(crate::problem::chain(&error)),
        })
    }

    async fn refused(&self, response: Response<Incoming>) -> ClientError {
        let status = response.status();
        let body = match self.whole(response.into_body()).await {
            Ok(body) => body,
            Err(error) => return error,
        };
        match serde_json::from_slice::<ProblemBody>(&body) {
            Ok(problem) if !problem.detail.is_empty() => ClientError::Refused(Box::new(problem)),
            _ => self.broken(describe(status)),
        }
    }

    fn broken(&self, reason: impl fmt::Display) -> ClientError {
        ClientError::Broken {
            endpoint: self.endpoint.clone(),
            reason: reason.to_string(),
        }
    }
}

fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = bare.parse::<std::net::IpAddr>().map(|ip| ip.is_loopback());
    loopback.unwrap_or(bare.eq_ignore_ascii_case("localhost"))
}

fn describe(status: StatusCode) -> String {
    format!("HTTP status {status}")
}

/// A body that is read piece by piece.
#[derive(Debug)]
pub struct Download {
    body: Incoming,
    /// Its size in bytes, when the daemon knows it.
    pub size: Option<u64>,
}

/// A text as one segment of a path or one value of a query (RFC 3986: all but unreserved
/// characters percent-encoded).
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_daemons() {
        let check = |text: &str, expected: Option<Endpoint>| {
            assert_eq!(text.parse().ok(), expected, "{text}");
        };
        check(
            "unix:///run/x.sock",
            Some(Endpoint::Unix("/run/x.sock".into())),
        );
        check("unix://run/x.sock", None);
        check(
            "http://127.0.0.1:7400",
            Some(Endpoint::Tcp("127.0.0.1:7400".into())),
        );
        check(
            "http://[::1]:7400/",
            Some(Endpoint::Tcp("[::1]:7400".into())),
        );
        check(
            "http://localhost",
            Some(Endpoint::Tcp("localhost:80".into())),
        );
        check("https://a", Some(Endpoint::Tls("a:443".into())));
        check(
            "https://[::1]:7443/",
            Some(Endpoint::Tls("[::1]:7443".into())),
        );
        for wrong in [
            "",
            "/run/x.sock",
            "http://",
            "http://a b",
            "http://u@h",
            "http://h/path",
            "tcp://h:1",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn references_cannot_leave_their_path_segment() {
        assert_eq!(encode("ab-1_~."), "ab-1_~.");
        assert_eq!(encode("../x?y=ü&z#"), "..%2Fx%3Fy%3D%C3%BC%26z%23");
    }
}

//! Asks one server for one file, by debuginfod's protocol: `GET /buildid/BUILDID/debuginfo`, or
//! `/executable` of a module whose own file is missing.

use crate::config::symbols::Server;
use crate::outgoing::connect;
use aground_analyzer::describe::PROGRAM;
use bytes::Bytes;
use futures_util::Stream;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use tokio::task::JoinSet;

/// A file that is on its way.
pub(super) struct Coming<S> {
    pub(super) bytes: S,
    /// Ends with this.
    _connection: JoinSet<()>,
}

/// Why a server sends no file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It has none.
    Missing,
    /// It answers something else.
    Odd(String),
    /// It cannot be talked to.
    Unreachable(String),
}

/// Asks for a file. How long all of it may take is the caller's affair.
pub(super) async fn get(
    server: &Server,
    build_id: &str,
) -> Result<Coming<impl Stream<Item = Result<Bytes, hyper::Error>> + Unpin + use<>>, Refusal> {
    let unreachable = |error: &dyn std::fmt::Display| Refusal::Unreachable(error.to_string());
    let wire = connect(&server.0)
        .await
        .map_err(|error| unreachable(&error))?;
    let (mut sender, connection) = http1::handshake(wire)
        .await
        .map_err(|error| unreachable(&error))?;
    let mut task = JoinSet::new();
    task.spawn(async {
        // An error ends the body as well, which says it.
        let _ = connection.await;
    });
    let (build_id, kind) = match build_id.strip_prefix(PROGRAM) {
        Some(build_id) => (build_id, "executable"),
        None => (build_id, "debuginfo"),
    };
    let request = Request::get(format!("{}/buildid/{build_id}/{kind}", server.0.path))
        .header(header::HOST, server.0.authority())
        .header(
            header::USER_AGENT,
            concat!("aground/", env!("CARGO_PKG_VERSION")),
        )
        .body(Empty::<Bytes>::new())
        .map_err(|error| Refusal::Odd(error.to_string()))?;
    let answer = sender
        .send_request(request)
        .await
        .map_err(|error| unreachable(&error))?;
    match answer.status() {
        StatusCode::OK => Ok(Coming {
            bytes: answer.into_body().into_data_stream(),
            _connection: task,
        }),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(Refusal::Missing),
        status => Err(Refusal::Odd(format!("it answered {status}"))),
    }
}

//! Hands a file over piece by piece, as `crate::api::uploads` takes it.

use super::{ANSWER_TIMEOUT, Client, ClientError};
use crate::api::uploads::{LENGTH, METADATA, OFFSET, PIECE, RESUMABLE, VERSION};
use aground_daemon::Upload;
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper::{Request, header};
use serde::de::DeserializeOwned;
use std::io;

impl Client {
    /// Begins a file of so many bytes.
    pub async fn begin_upload(&self, length: u64, metadata: &str) -> Result<Upload, ClientError> {
        let nothing = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = Request::post("/api/v1/uploads")
            .header(RESUMABLE, VERSION)
            .header(LENGTH, length)
            .header(METADATA, metadata);
        let patience = Some(ANSWER_TIMEOUT);
        let response = self.request(request, nothing, patience).await?;
        self.parsed(response).await
    }

    /// Posts nothing, and reads what the daemon says however long it takes.
    pub async fn post_slowly<T: DeserializeOwned>(&self, target: &str) -> Result<T, ClientError> {
        let nothing = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let response = self.request(Request::post(target), nothing, None).await?;
        self.parsed(response).await
    }

    /// Adds bytes to one that is so far.
    pub async fn continue_upload(
        &self,
        id: &str,
        offset: u64,
        bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), ClientError> {
        let body = StreamBody::new(bytes.map_ok(Frame::data)).boxed_unsync();
        let request = Request::patch(format!("/api/v1/uploads/{id}"))
            .header(RESUMABLE, VERSION)
            .header(OFFSET, offset)
            .header(header::CONTENT_TYPE, PIECE);
        self.request(request, body, None).await.map(|_| ())
    }
}

//! Takes files in piece by piece, by the tus protocol 1.0.0 (tus.io): creation, `HEAD` for how far it
//! is, `PATCH` with more, termination, expiration. What becomes of a whole file is said where plain
//! bytes are taken too: `POST /api/v1/import?upload=ID`, `POST /api/v1/symbols?upload=ID`.

use super::paging;
use super::parameters::{Parameters, Path};
use crate::App;
use crate::access::Access;
use crate::access::who::Who;
use crate::problem::Problem;
use aground_daemon::{ImportError, Upload, UploadError, Whole};
use aground_store::types::Page;
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use futures_util::Stream;
use std::io;
use tokio_util::io::ReaderStream;

/// The version of the protocol.
pub const VERSION: &str = "1.0.0";
/// Its name in headers.
pub const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
/// Bytes of the whole file.
pub const LENGTH: HeaderName = HeaderName::from_static("upload-length");
/// Bytes that came.
pub const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
/// What the client says of the file: `key base64,key base64`.
pub const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
/// What the body of a `PATCH` is.
pub const PIECE: &str = "application/offset+octet-stream";
const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const EXTENSIONS: &str = "creation,termination,expiration";

/// Who brings a file: nobody else goes on with it. Speaks the protocol in a version of ours.
pub struct Bringer(String);

impl FromRequestParts<App> for Bringer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Response> {
        let spoken = parts.headers.get(RESUMABLE);
        // Reading how far it is changes nothing, so that a browser may do it.
        if spoken.is_some_and(|version| version != VERSION) {
            let detail = format!("this service speaks version {VERSION} of the tus protocol");
            let problem = Problem::new(StatusCode::PRECONDITION_FAILED, "tus-version", detail);
            let mut response = problem.into_response();
            let version = HeaderName::from_static("tus-version");
            let headers = response.headers_mut();
            headers.insert(version, HeaderValue::from_static(VERSION));
            return Err(response);
        }
        let access = parts.extensions.get::<Access>();
        Ok(Self(owner(access)))
    }
}

/// Names somebody so that nobody else has the name.
fn owner(access: Option<&Access>) -> String {
    match access.map(|access| &access.who) {
        Some(Who::Token { id, .. }) => format!("token {id}"),
        Some(Who::User(uid)) => format!("uid {uid}"),
        Some(Who::Anybody | Who::Nobody) | None => "somebody".to_owned(),
    }
}

/// `OPTIONS /api/v1/uploads`: what of the protocol there is.
pub async fn options() -> Response {
    let headers = [
        (RESUMABLE, HeaderValue::from_static(VERSION)),
        (
            HeaderName::from_static("tus-version"),
            HeaderValue::from_static(VERSION),
        ),
        (
            HeaderName::from_static("tus-extension"),
            HeaderValue::from_static(EXTENSIONS),
        ),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// `POST /api/v1/uploads` with `Upload-Length` and, if wanted, `Upload-Metadata`: 201 with
/// `Location` and what it is.
pub async fn create(
    State(app): State<App>,
    Bringer(owner): Bringer,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.only(&[])?;
    let length = number(&headers, &LENGTH)?;
    let metadata = headers.get(METADATA).map_or(Ok(""), HeaderValue::to_str);
    let metadata = metadata.map_err(|_| Problem::bad_parameter("Upload-Metadata is not ASCII"))?;
    let metadata = metadata.to_owned();
    let daemon = app.daemon.clone();
    let begin = move || daemon.begin_upload(&owner, length, &metadata);
    let upload = tokio::task::spawn_blocking(begin).await??;
    let mut response = (StatusCode::CREATED, Json(&upload)).into_response();
    let place = HeaderValue::try_from(format!("/api/v1/uploads/{}", upload.id));
    if let Ok(place) = place {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(told(response, &upload))
}

/// `GET /api/v1/uploads?limit=&cursor=`: those of who asks that are not finished, oldest first.
pub async fn list(
    State(app): State<App>,
    Bringer(owner): Bringer,
    parameters: Parameters,
) -> Result<Json<Page<Upload>>, Problem> {
    parameters.only(&["limit", "cursor"])?;
    let page = parameters.page()?;
    let daemon = app.daemon.clone();
    let all = tokio::task::spawn_blocking(move || daemon.uploads(&owner)).await?;
    let place = |upload: &Upload| (upload.created_at_ms, upload.id.clone());
    Ok(Json(paging::page("uploads", all, place, &page)?))
}

/// `GET` and `HEAD /api/v1/uploads/{id}`: how far it is.
pub async fn show(
    State(app): State<App>,
    Bringer(owner): Bringer,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let upload = app.daemon.upload(&owner, &id).await?;
    Ok(told(Json(&upload).into_response(), &upload))
}

/// `PATCH /api/v1/uploads/{id}` with `Upload-Offset`: more bytes. 204 with how far it is now.
pub async fn append(
    State(app): State<App>,
    Bringer(owner): Bringer,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if headers
        .get(header::CONTENT_TYPE)
        .is_none_or(|kind| kind != PIECE)
    {
        let detail = format!("the body of a PATCH is {PIECE}");
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::new(status, "media-type", detail));
    }
    let offset = number(&headers, &OFFSET)?;
    let bytes = body.into_data_stream();
    let upload = app
        .daemon
        .continue_upload(&owner, &id, offset, bytes)
        .await?;
    Ok(told(StatusCode::NO_CONTENT.into_response(), &upload))
}

/// `DELETE /api/v1/uploads/{id}`: gives it up.
pub async fn remove(
    State(app): State<App>,
    Bringer(owner): Bringer,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let upload = app.daemon.remove_upload(&owner, &id).await?;
    Ok(told(StatusCode::NO_CONTENT.into_response(), &upload))
}

/// The answer with what the protocol says of an upload.
fn told(mut response: Response, upload: &Upload) -> Response {
    let headers = response.headers_mut();
    headers.insert(RESUMABLE, HeaderValue::from_static(VERSION));
    headers.insert(LENGTH, upload.length.into());
    headers.insert(OFFSET, upload.offset.into());
    if let Ok(metadata) = HeaderValue::try_from(&upload.metadata)
        && !metadata.is_empty()
    {
        headers.insert(METADATA, metadata);
    }
    let ends = jiff::Timestamp::from_millisecond(upload.expires_at_ms);
    let ends = ends.map(|at| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    if let Some(ends) = ends.ok().and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(EXPIRES, ends);
    }
    response
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Result<u64, Problem> {
    let text = headers.get(name).and_then(|value| value.to_str().ok());
    let digits = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.filter(digits).and_then(|text| text.parse().ok());
    number.ok_or_else(|| Problem::bad_parameter(format!("{name} is no number of bytes")))
}

/// A whole upload that is named in place of a body: its bytes, and what to tell of how it went.
pub struct Brought(Whole);

impl Brought {
    /// The upload that `upload=` names; nothing without it.
    pub async fn named(
        app: &App,
        access: Option<&Extension<Access>>,
        parameters: &Parameters,
    ) -> Result<Option<Self>, Problem> {
        let Some(id) = parameters.get("upload").filter(|id| !id.is_empty()) else {
            return Ok(None);
        };
        let owner = owner(access.map(|Extension(access)| access));
        Ok(Some(Self(app.daemon.whole_upload(&owner, id).await?)))
    }

    /// Its bytes.
    pub fn bytes(&self) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static, Problem> {
        const AT_ONCE: usize = 256 * 1024;
        let file = tokio::fs::File::from_std(self.0.open()?);
        Ok(ReaderStream::with_capacity(file, AT_ONCE))
    }

    /// Removes it unless another try may go better.
    pub fn end<T>(self, result: Result<T, ImportError>) -> Result<T, Problem> {
        let lost = matches!(
            result,
            Err(ImportError::NotACore(_) | ImportError::NotSymbols(_))
        );
        if result.is_ok() || lost {
            self.0.done();
        }
        Ok(result?)
    }
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        let detail = error.to_string();
        let (status, code) = match error {
            UploadError::NotFound => return Self::not_found(detail),
            UploadError::Elsewhere(_) => (StatusCode::CONFLICT, "offset"),
            UploadError::Unfinished(..) => (StatusCode::CONFLICT, "unfinished"),
            UploadError::TooMany(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too-long"),
            UploadError::NoRoom(_) => (StatusCode::INSUFFICIENT_STORAGE, "no-room"),
            UploadError::Refused(_) => (StatusCode::UNPROCESSABLE_ENTITY, "refused"),
            UploadError::Broken(_) => (StatusCode::BAD_REQUEST, "cut"),
            UploadError::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            UploadError::Io(_) => return Self::internal(&error),
            UploadError::Store(error) => return error.into(),
        };
        Self::new(status, code, detail)
    }
}

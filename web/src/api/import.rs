//! Takes in cores that are handed in.

use super::parameters::Parameters;
use super::uploads::Brought;
use crate::App;
use crate::access::Access;
use crate::problem::Problem;
use aground_daemon::{Claims, Import, ImportError};
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use std::str::FromStr;

/// What may be said of a core.
const PARAMETERS: [&str; 10] = [
    "upload",
    "file",
    "died_at_ms",
    "hostname",
    "name",
    "executable",
    "pid",
    "uid",
    "gid",
    "signal",
];

/// `POST /api/v1/import?file=&died_at_ms=&hostname=&name=&executable=&pid=&uid=&gid=&signal=`: the
/// body is an ELF core, plain or compressed with gzip, xz, zstd or lz4. What the core itself says
/// wins over the parameters. 201 for a new dump, 200 for one that was there already. With `upload=ID`
/// the core is that upload ([`super::uploads`]), and there is no body.
pub async fn import(
    State(app): State<App>,
    access: Option<Extension<Access>>,
    parameters: Parameters,
    body: Body,
) -> Result<(StatusCode, Json<Import>), Problem> {
    let claims = claims(&parameters)?;
    let brought = Brought::named(&app, access.as_ref(), &parameters).await?;
    let import = match brought {
        None => app.daemon.import(claims, body.into_data_stream()).await?,
        Some(brought) => {
            let bytes = brought.bytes()?;
            brought.end(app.daemon.import(claims, bytes).await)?
        }
    };
    let status = if import.new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(import)))
}

fn claims(parameters: &Parameters) -> Result<Claims, Problem> {
    parameters.only(&PARAMETERS)?;
    let text = |name| parameters.get(name).map(ToOwned::to_owned);
    Ok(Claims {
        file: text("file"),
        died_at_ms: number(parameters, "died_at_ms")?,
        hostname: text("hostname"),
        name: text("name"),
        executable: text("executable"),
        pid: number(parameters, "pid")?,
        uid: number(parameters, "uid")?,
        gid: number(parameters, "gid")?,
        signal: number(parameters, "signal")?,
    })
}

fn number<T: FromStr>(parameters: &Parameters, name: &str) -> Result<Option<T>, Problem> {
    let Some(text) = parameters.get(name).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let bad = |_| Problem::bad_parameter(format!("{name}=\"{text}\" is no such number"));
    text.parse().map(Some).map_err(bad)
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        let detail = error.to_string();
        match error {
            ImportError::NotACore(_) => {
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not-a-core", detail)
            }
            ImportError::NotSymbols(_) => {
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no-symbols", detail)
            }
            ImportError::NoRoom(_) => {
                Problem::new(StatusCode::INSUFFICIENT_STORAGE, "no-room", detail)
            }
            ImportError::Broken(_) => Problem::new(StatusCode::BAD_REQUEST, "cut", detail),
            ImportError::Stopped => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail)
            }
            ImportError::Store(error) => error.into(),
            ImportError::Io(_) => Problem::internal(&error),
        }
    }
}

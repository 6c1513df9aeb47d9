//! Serves captured and uploaded ELF files by build ID, the way debuginfod servers do (elfutils,
//! debuginfod(8)): gdb, lldb and delve anywhere need only `DEBUGINFOD_URLS`.

use super::parameters::Path;
use super::{attachment, blocking};
use crate::App;
use crate::problem::Problem;
use aground_helper::record::Module;
use aground_store::{Store, StoreError};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use std::fs::File;
use tokio_util::io::ReaderStream;

/// Build IDs are at most so many bytes, as hexadecimal digits.
const LONGEST: usize = 128;
/// Dumps that are looked at for a file, the newest.
const LOOKED_AT: u32 = 10;

/// A file and what it is called.
type Found = Option<(File, String)>;

/// `GET /buildid/{build_id}/executable`: the program or library itself.
pub async fn executable(
    State(app): State<App>,
    Path(build_id): Path<String>,
) -> Result<Response, Problem> {
    let id = checked(build_id)?;
    answer(blocking(&app, move |store| find_executable(store, &id)).await?)
}

/// `GET /buildid/{build_id}/debuginfo`: the file with its debug information, which may be the same.
pub async fn debuginfo(
    State(app): State<App>,
    Path(build_id): Path<String>,
) -> Result<Response, Problem> {
    let id = checked(build_id)?;
    answer(blocking(&app, move |store| find_debuginfo(store, &id)).await?)
}

fn checked(build_id: String) -> Result<String, Problem> {
    let digits = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if (2..=LONGEST).contains(&build_id.len()) && build_id.bytes().all(digits) {
        return Ok(build_id);
    }
    Err(Problem::bad_parameter(
        "a build ID is lowercase hexadecimal digits",
    ))
}

fn find_executable(store: &Store, id: &str) -> Result<Found, StoreError> {
    for dump in store.dumps_with_module(id, LOOKED_AT)? {
        let record = store.record(&dump)?;
        if let Some(found) = open(store, &record.modules, id)? {
            return Ok(Some(found));
        }
    }
    uploaded(store, id, true)
}

/// What was handed in, then what the container had beside it, then the file itself where an
/// analysis found the information in it.
fn find_debuginfo(store: &Store, id: &str) -> Result<Found, StoreError> {
    if let Some(found) = uploaded(store, id, false)? {
        return Ok(Some(found));
    }
    for dump in store.dumps_with_module(id, LOOKED_AT)? {
        let record = store.record(&dump)?;
        if let Some(found) = open(store, &record.debug_files, id)? {
            return Ok(Some(found));
        }
        let report = store.report(&dump);
        let modules = report.iter().flat_map(|report| &report.modules);
        let whole = modules.filter(|module| module.build_id.as_deref() == Some(id));
        if whole
            .clone()
            .any(|module| module.debug == "dwarf" && module.debug_from.is_none())
            && let Some(found) = open(store, &record.modules, id)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Uploads are everybody's; within a scope only those that a crash in scope had mapped.
fn uploaded(store: &Store, id: &str, with_code: bool) -> Result<Found, StoreError> {
    let everybody = store.sight().scope.is_everything();
    if !everybody && store.dumps_with_module(id, 1)?.is_empty() {
        return Ok(None);
    }
    let found = store.symbol_file(id)?;
    let found = found.filter(|(_, facts)| facts.has_code || !with_code);
    Ok(found.map(|(file, facts)| (file, facts.name)))
}

fn open(store: &Store, modules: &[Module], id: &str) -> Result<Found, StoreError> {
    let mut modules = modules.iter();
    let module = modules.find(|module| module.build_id.as_deref() == Some(id));
    let Some((module, sha256)) = module.and_then(|m| Some((m, m.sha256.as_deref()?))) else {
        return Ok(None);
    };
    match store.module(sha256) {
        Ok(file) => {
            let name = module.path.rsplit('/').next().unwrap_or_default();
            Ok(Some((file, name.to_owned())))
        }
        // It went with the memory.
        Err(StoreError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn answer(found: Found) -> Result<Response, Problem> {
    let Some((file, name)) = found else {
        return Err(Problem::not_found("there is no file of that build ID"));
    };
    let size = HeaderValue::from(file.metadata()?.len());
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        ),
        (header::CONTENT_LENGTH, size.clone()),
        (HeaderName::from_static("x-debuginfod-size"), size),
        (header::CONTENT_DISPOSITION, attachment(&name)),
    ];
    let body = Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(file)));
    Ok((headers, body).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_ids_are_digits_and_no_paths() {
        assert!(checked("0123456789abcdef".to_owned()).is_ok());
        for wrong in [
            "",
            "0",
            "ABCD",
            "../../etc",
            "program:abcd",
            &"a".repeat(129),
        ] {
            assert!(checked(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}

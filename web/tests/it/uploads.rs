//! Files that come piece by piece, and what hostile clients try with them.

use crate::site::{Answer, Site};
use axum::http::Method;

const KIND: (&str, &str) = ("content-type", "application/offset+octet-stream");

async fn begin(site: &Site, length: &str) -> Answer {
    let headers = [("tus-resumable", "1.0.0"), ("upload-length", length)];
    site.send(Method::POST, "/api/v1/uploads", &headers).await
}

async fn add(site: &Site, place: &str, offset: &str, bytes: &str) -> Answer {
    let headers = [KIND, ("tus-resumable", "1.0.0"), ("upload-offset", offset)];
    site.send_body(Method::PATCH, place, &headers, bytes).await
}

#[track_caller]
fn check(answer: &Answer, status: u16, code: &str) {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status.as_u16(), status, "{text}");
    if !code.is_empty() {
        assert_eq!(answer.json()["code"], code, "{text}");
    }
}

#[tokio::test]
async fn bytes_are_added_where_they_belong_and_nowhere_else() {
    let site = Site::with(&[]).await;
    for wrong in [
        "",
        "-1",
        "+5",
        "1e3",
        "0x10",
        "99999999999999999999999",
        "a",
    ] {
        check(&begin(&site, wrong).await, 400, "bad-parameter");
    }
    check(&begin(&site, "18446744073709551615").await, 507, "no-room");

    let begun = begin(&site, "10").await;
    check(&begun, 201, "");
    let place = begun.header("location").to_owned();
    assert_eq!(
        place,
        format!("/api/v1/uploads/{}", begun.json()["id"].as_str().unwrap())
    );
    assert!(begun.header("upload-expires").ends_with(" GMT"));

    check(&add(&site, &place, "0", "0123").await, 204, "");
    for (offset, code) in [
        ("0", "offset"),
        ("3", "offset"),
        ("5", "offset"),
        ("10", "offset"),
    ] {
        check(&add(&site, &place, offset, "x").await, 409, code);
    }
    for offset in ["", "-4", "4.0", "four", "18446744073709551616"] {
        check(&add(&site, &place, offset, "x").await, 400, "bad-parameter");
    }
    check(&add(&site, &place, "4", "4567890").await, 413, "too-long");
    let other = [("upload-offset", "4"), ("content-type", "text/plain")];
    let other = site.send_body(Method::PATCH, &place, &other, "x").await;
    check(&other, 415, "media-type");
    let old = [KIND, ("upload-offset", "4"), ("tus-resumable", "0.2.2")];
    let old = site.send_body(Method::PATCH, &place, &old, "x").await;
    check(&old, 412, "tus-version");
    assert_eq!(old.header("tus-version"), "1.0.0");

    // None of that left anything.
    let head = site
        .send(Method::HEAD, &place, &[("tus-resumable", "1.0.0")])
        .await;
    check(&head, 200, "");
    assert_eq!(
        (head.header("upload-offset"), head.header("upload-length")),
        ("4", "10")
    );
    assert!(head.body.is_empty());
    assert_eq!(head.header("cache-control"), "no-store");

    let id = place.rsplit('/').next().unwrap();
    let early = site
        .send(Method::POST, &format!("/api/v1/import?upload={id}"), &[])
        .await;
    check(&early, 409, "unfinished");
    let whole = add(&site, &place, "4", "456789").await;
    check(&whole, 204, "");
    assert_eq!(whole.header("upload-offset"), "10");
    let listed = site.get("/api/v1/uploads").await.json();
    assert_eq!(listed["items"][0]["offset"], 10);
}

#[tokio::test]
async fn what_names_no_upload_is_not_found_wherever_it_points() {
    let site = Site::with(&[]).await;
    let begun = begin(&site, "3").await;
    let place = begun.header("location").to_owned();
    let id = begun.json()["id"].as_str().unwrap().to_owned();
    for wrong in [
        "..%2F..%2Fetc",
        "..",
        "%2e%2e%2f",
        &id[..31],
        &format!("{id}0"),
        &id.to_uppercase(),
        "00000000000000000000000000000000",
        "é",
    ] {
        if *wrong == id {
            continue;
        }
        let wrong = format!("/api/v1/uploads/{wrong}");
        check(&add(&site, &wrong, "0", "abc").await, 404, "not-found");
        let import = wrong.replace("/api/v1/uploads/", "/api/v1/symbols?upload=");
        check(
            &site.send(Method::POST, &import, &[]).await,
            404,
            "not-found",
        );
    }
    let gone = site.send(Method::DELETE, &place, &[]).await;
    check(&gone, 204, "");
    check(
        &site.send(Method::DELETE, &place, &[]).await,
        404,
        "not-found",
    );
    check(&add(&site, &place, "0", "abc").await, 404, "not-found");

    for _ in 0..100 {
        check(&begin(&site, "1").await, 201, "");
    }
    check(&begin(&site, "1").await, 422, "refused");
    let options = site.send(Method::OPTIONS, "/api/v1/uploads", &[]).await;
    check(&options, 204, "");
    assert_eq!(
        options.header("tus-extension"),
        "creation,termination,expiration"
    );
}

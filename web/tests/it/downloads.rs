//! Files in parts, files by build ID, and answers that have not changed.

use crate::site::{Answer, MODULE, Site, core, record};
use aground_store::access::{Scope, Sight};
use aground_web::App;
use axum::http::Method;
use std::io::Write;

impl Site {
    async fn part(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(Method::GET, target, headers).await
    }

    /// Stores the core of [`record`] 1 in frames, with their table at the end, as the helper does.
    fn store_in_frames(&self) {
        let path = self.path().join("state/dumps").join(record(1).id.as_str());
        let file = std::fs::File::create(path.join("core.zst")).unwrap();
        let options = zeekstd::EncodeOptions::new();
        let policy = zeekstd::FrameSizePolicy::Uncompressed(64 << 10);
        let mut encoder = options
            .frame_size_policy(policy)
            .into_encoder(file)
            .unwrap();
        encoder.write_all(&core()).unwrap();
        encoder.finish().unwrap();
    }
}

#[tokio::test]
async fn cores_come_in_parts_and_are_asked_for_once() {
    let site = Site::with(&[record(1)]).await;
    let target = "/api/v1/dumps/11/core";
    let whole = core();
    let size = whole.len();
    // Where its frames cannot be found, all of it comes.
    let answer = site.part(target, &[("range", "bytes=5-9")]).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, size));

    site.store_in_frames();
    let answer = site.get(target).await;
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert!(answer.body == whole);
    let tag = answer.header("etag").to_owned();
    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=1-8", 1..9),
        ("bytes=65530-65545", 65530..65546),
        ("bytes=699990-", 699_990..size),
        ("bytes=-3", size - 3..size),
        ("bytes=100000-300000", 100_000..300_001),
    ] {
        let answer = site
            .part(target, &[("range", range), ("if-range", &tag)])
            .await;
        assert_eq!(answer.status, 206, "{range}");
        let told = format!("bytes {}-{}/{size}", expected.start, expected.end - 1);
        assert_eq!(answer.header("content-range"), told);
        assert_eq!(answer.header("content-length"), expected.len().to_string());
        assert!(answer.body == whole[expected], "{range}");
    }
    let answer = site.part(target, &[("range", "bytes=9999999-")]).await;
    assert_eq!(answer.status, 416);
    assert_eq!(answer.header("content-range"), format!("bytes */{size}"));
    let answer = site.part(target, &[("if-none-match", &tag)]).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0));

    let stored = site.get("/api/v1/dumps/11/core?format=zst").await;
    let answer = site
        .part(
            "/api/v1/dumps/11/core?format=zst",
            &[("range", "bytes=4-9")],
        )
        .await;
    assert!(answer.status == 206 && answer.body == stored.body[4..10]);
    assert_ne!(stored.header("etag"), tag);
}

#[tokio::test]
async fn json_that_has_not_changed_is_not_sent_again() {
    let site = Site::with(&[record(1)]).await;
    let target = "/api/v1/dumps/11";
    let first = site.get(target).await;
    let tag = first.header("etag").to_owned();
    assert!(tag.len() > 10, "{tag}");
    let again = site.part(target, &[("if-none-match", &tag)]).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    assert_eq!(again.header("etag"), tag);
    site.send(Method::PUT, "/api/v1/dumps/11/pin", &[]).await;
    let changed = site.part(target, &[("if-none-match", &tag)]).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), tag);
    assert_eq!(site.get("/api/v1/dumps/zz").await.header("etag"), "");
}

#[tokio::test]
async fn files_are_found_by_build_id_within_a_scope() {
    let mut with_id = record(1);
    with_id.modules[0].build_id = Some("00aabb".to_owned());
    let mut site = Site::with(&[with_id]).await;
    let target = "/buildid/00aabb/executable";
    let found = site.get(target).await;
    assert_eq!(
        (found.status.as_u16(), found.body.as_slice()),
        (200, MODULE)
    );
    assert_eq!(found.header("x-debuginfod-size"), MODULE.len().to_string());
    // No analysis found debug information in it, and nobody handed some in.
    for (target, status) in [
        ("/buildid/00aabb/debuginfo", 404),
        ("/buildid/00aabc/executable", 404),
        ("/buildid/00AABB/executable", 400),
        ("/buildid/..%2f..%2fetc/executable", 400),
    ] {
        assert_eq!(site.get(target).await.status, status, "{target}");
    }
    let elsewhere = Sight {
        scope: Scope::new(vec!["namespace=other".to_owned()]).unwrap(),
        memory: true,
    };
    site.app = App::new(site.app.daemon.seen(elsewhere).unwrap());
    assert_eq!(site.get(target).await.status, 404);
}

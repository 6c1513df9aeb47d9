//! Every list of the API is walked in the same manner.

use crate::site::{Site, record};
use serde_json::{Value, json};

/// All items of a list, so many at a time, and how many pages they were on.
async fn walked(site: &Site, path: &str, limit: usize) -> (Vec<Value>, usize) {
    let (mut items, mut pages, mut cursor) = (vec![], 0, String::new());
    loop {
        let target = format!("{path}?limit={limit}{cursor}");
        let answer = site.get(&target).await;
        assert_eq!(answer.status, 200, "{target}");
        let page = answer.json();
        let found = page["items"].as_array().unwrap();
        assert!(found.len() <= limit, "{target}");
        items.extend(found.iter().cloned());
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (items, pages),
        }
        assert!(pages < 100, "{path} does not end");
    }
}

#[tokio::test]
async fn every_list_is_walked_by_its_cursor() {
    let mut records = vec![record(1), record(2), record(3)];
    for (number, record) in records.iter_mut().enumerate() {
        record.host.hostname = format!("node{number}");
        if let Some(container) = &mut record.container {
            container.image = Some(format!("shop/api:{number}"));
        }
    }
    let site = Site::with(&records).await;
    for record in &records {
        site.report(record, "write to 0x0");
    }
    let group = site.get("/api/v1/groups").await.json()["items"][0]["id"].clone();
    let group = group.as_str().unwrap().to_owned();
    for name in ["one", "two", "three"] {
        let save = ["searches", "save", name, "signal:SIGSEGV"];
        assert!(site.aground(&save).await.status.success());
        let token = ["token", "create", "--name", name, "--role", "read"];
        assert!(site.aground(&token).await.status.success());
        let theory = ["groups", "theory", &group, name];
        assert!(site.aground(&theory).await.status.success());
    }
    let document = site.get("/api/v1/openapi.json").await.json();
    let mut long = vec![];
    for (path, operations) in document["paths"].as_object().unwrap() {
        let parameters = operations["get"]["parameters"].as_array();
        let mut parameters = parameters.into_iter().flatten();
        if !parameters.any(|parameter| parameter["name"] == "cursor") {
            continue;
        }
        let path = path.replace("{ref}", &group);
        // What is asked for is written down too: one page first.
        let (whole, _) = walked(&site, &path, 1000).await;
        let (parts, pages) = walked(&site, &path, 1).await;
        assert_eq!(parts, whole, "{path}");
        assert_eq!(pages, whole.len().max(1), "{path}");
        if whole.len() > 2 {
            long.push(path.clone());
        }
        for cursor in [
            "nonsense",
            "d1-2x",
            "a1-",
            "a1-4611686018427387904",
            "a1-18446744073709551615",
            "W10",
            "%F0%9F%92%A5",
        ] {
            let answer = site.get(&format!("{path}?cursor={cursor}")).await;
            let problem = answer.json();
            assert_eq!(problem["code"], json!("bad-cursor"), "{path} {cursor}");
            assert_eq!(answer.status, 400, "{path} {cursor}");
        }
    }
    for list in [
        "dumps",
        "tokens",
        "searches",
        "hosts",
        "images",
        "investigations",
        "changes",
        "audit",
    ] {
        assert!(long.iter().any(|path| path.ends_with(list)), "{long:?}");
    }
}

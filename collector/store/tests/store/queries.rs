//! What queries find.

use crate::given::*;
use aground_store::Query;

/// Five crashes that differ in everything.
fn five() -> Given {
    let given = Given::new();
    let team = [
        ("team", "core"),
        ("com.example/url", "http://a:1/?x=50%_[y]*"),
    ];
    given.analysed(
        &in_container(1, "web", "api:1.42", &team),
        "ns::parse_header(char const*)",
    );
    given.analysed(
        &in_container(
            2,
            "web-2",
            "registry.example:5000/api@sha256:aa",
            &[("team", "")],
        ),
        "main.(*T).crash",
    );
    let mut third = record(3);
    third.signal = aground_helper::record::Signal {
        number: 6,
        name: "SIGABRT".into(),
    };
    third.unit = Some("nginx.service".into());
    third.process.name = "nginx".into();
    third.process.executable = Some("/usr/sbin/nginx".into());
    third.process.args = vec!["nginx: worker process".into(), "100%_done".into()];
    third.host.hostname = "node[2]".into();
    given.admitted(&third);
    given.admitted(&in_container(4, "db", "postgres:16", &[("team", "data")]));
    given
        .store
        .assign(&id(4), &report(&["SIGSEGV in server"]), Some("timed out"))
        .unwrap();
    let mut fifth = in_container(5, "we*b", "API:1.42", &[("quote", "it's \"quoted\"; --")]);
    fifth.container.as_mut().unwrap().runtime = "podman".into();
    given.admitted(&fifth);
    given
}

#[test]
fn queries_find_what_they_say() {
    let given = five();
    let check = |query: &str, expected: &[u8]| assert_eq!(given.found(query), expected, "{query}");
    check("", &[5, 4, 3, 2, 1]);
    check("image:api:1.42", &[1]);
    check("image:api", &[1]);
    check("image:api*", &[1]);
    check("image:*api*", &[2, 1]);
    check("image:registry.example:5000/api", &[2]);
    check("container:web", &[1]);
    check("name:web*", &[2, 1]);
    check("name:\"we*b\"", &[5]);
    check("name:we*b", &[5, 1]);
    check("name:web name:db", &[4, 1]);
    check(&format!("container:{}", &sha256(b"db")[..12]), &[4]);
    check("label:team", &[4, 2, 1]);
    check("label:team=core", &[1]);
    check("label:team=", &[2]);
    check("label:team=core label:team=data", &[4, 1]);
    check("label:team label:com.example/url", &[1]);
    check("-label:team", &[5, 3]);
    check("label:com.example/url=\"http://a:1/?x=50%_[y]*\"", &[1]);
    check("label:com.example/url=http*[y]*", &[1]);
    check("label:\"quote=it's \\\"quoted\\\"; --\"", &[5]);
    check("host:node1", &[5, 4, 2, 1]);
    check("host:node[2]", &[3]);
    check("host:node*", &[5, 4, 3, 2, 1]);
    check("signal:abrt", &[3]);
    check("signal:6 signal:SIGSEGV", &[5, 4, 3, 2, 1]);
    check("-signal:SIGSEGV", &[3]);
    check("exe:nginx", &[3]);
    check("exe:/app/server", &[5, 4, 2, 1]);
    check("exe:*bin*", &[3]);
    check("comm:nginx", &[3]);
    check("cause:null-dereference", &[4, 2, 1]);
    check("-cause:null-dereference", &[5, 3]);
    check("frame:parse_header", &[1]);
    check("function:ns::parse_header", &[1]);
    check("function:crash", &[2]);
    check("function:parse", &[]);
    check("function:*parse*", &[1]);
    check("function:main", &[2, 1]);
    check("status:pending", &[5, 3]);
    check("status:failed status:analyzed", &[4, 2, 1]);
    check("runtime:podman", &[5]);
    check("unit:nginx", &[3]);
    check("unit:nginx.service", &[3]);
    check("pid:4003", &[3]);
    check("id:01", &[1]);
    check(
        &format!("group:{}", &given.summary(&id(1)).group.unwrap()[..6]),
        &[1],
    );
    check("2026", &[]);
    check("nginx worker", &[3]);
    check("NGINX", &[3]);
    check("100%_DONE", &[3]);
    check("100__done", &[3]);
    check("parse_header", &[1]);
    check("postgres", &[4]);
    check("\"' OR 1=1 --\"", &[]);
    check("-postgres -nginx", &[5, 2, 1]);
    check(
        &format!("since:{} until:{}", NOON / 1000 + 2, NOON / 1000 + 3),
        &[3, 2],
    );
    check("since:2026-11-20T00:00:04Z", &[5, 4]);
    check("until:2026-11-20T00:00:01.5Z", &[1]);
    assert_eq!(
        given
            .store
            .count_dumps(&Query::parse("label:team").unwrap())
            .unwrap(),
        Some(3)
    );
}

#[test]
fn docker_filters_narrow_a_query() {
    let given = five();
    let query = Query::parse("signal:SEGV")
        .unwrap()
        .with_filter("label=team")
        .unwrap()
        .with_filter("name!=db")
        .unwrap();
    assert_eq!(given.store.count_dumps(&query).unwrap(), Some(2));
}

#[test]
fn hostile_names_and_labels_are_stored_and_found() {
    let given = Given::new();
    let large = "\u{1f4a5}".repeat(16 << 10);
    let values = [
        "",
        " ",
        "'",
        "\"",
        "\\",
        "a\0b",
        "\u{202e}rtl",
        "%",
        "_",
        "*",
        "?",
        "[",
        "line\nbreak",
        "'); DROP TABLE dumps; --",
        &large,
    ];
    for (number, value) in (0_u8..).zip(values) {
        let mut record = in_container(
            number,
            &format!("n{value}"),
            &format!("i{value}"),
            &[("k", value), (value, "v")],
        );
        record.process.args = vec![value.to_owned()];
        record.process.name = value.to_owned();
        given.analysed(&record, if value.len() > 1000 { "f" } else { value });
    }
    for (number, value) in (0_u8..).zip(values) {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        assert_eq!(
            given.found(&format!("label:\"k={quoted}\"")),
            [number],
            "{value:.20}"
        );
        assert_eq!(
            given.found(&format!("name:\"n{quoted}\"")),
            [number],
            "{value:.20}"
        );
        assert_eq!(
            given.found(&format!("image:\"i{quoted}\"")),
            [number],
            "{value:.20}"
        );
        let labels = given.summary(&id(number)).container.unwrap().labels;
        assert_eq!(labels.get("k").unwrap(), &value.replace('\0', "\u{2400}"));
    }
    assert_eq!(given.found("name:n\u{1f4a5}*"), [14]);
    assert_eq!(given.store.status().unwrap().dumps, 15);
}

#[test]
fn the_longest_queries_are_answered() {
    let given = five();
    let words: String = (0..100).map(|_| "nothing ").collect();
    assert_eq!(given.found(&words), [0; 0]);
    let names: String = (0..99).map(|n| format!("name:n{n} ")).collect();
    assert_eq!(given.found(&(names + "name:web")), [1]);
    assert_eq!(given.found(&"*a".repeat(4000)), [0; 0]);
    assert_eq!(given.found(&format!("image:{}", "*a".repeat(4000))), [0; 0]);
    assert_eq!(
        given.found(&format!("name:{}", "[".repeat(8000) + "*")),
        [0; 0]
    );
}

#[test]
fn pods_images_and_projects_are_found_by_every_name() {
    let given = Given::new();
    let labels = [
        ("com.docker.compose.project", "shop"),
        ("com.docker.compose.service", "api"),
    ];
    let mut first = in_container(1, "web", "api:1", &labels);
    let container = first.container.as_mut().unwrap();
    container.runtime = "containerd".into();
    container.pod_namespace = Some("prod".into());
    container.pod_name = Some("shop-7d4b9c6f8-x2x4z".into());
    container.pod_uid = Some("12345678-9abc-def0-1234-56789abcdef0".into());
    container.pod_container = Some("web".into());
    container.pod_owner = Some("deployment/shop".into());
    container.image_digests = vec!["r/api@sha256:aabb".into(), "q/api@sha256:aabb".into()];
    given.admitted(&first);
    let mut second = in_container(2, "db", "db:1", &[("io.podman.compose.project", "shop")]);
    second.container.as_mut().unwrap().pod_namespace = Some("test".into());
    given.admitted(&second);
    // The same container from another image: another row.
    let mut third = first.clone();
    third.id = id(3);
    third.captured_at_ms = record(3).captured_at_ms;
    third.container.as_mut().unwrap().image_digests = vec!["r/api@sha256:ccdd".into()];
    given.admitted(&third);

    let check = |query: &str, expected: &[u8]| assert_eq!(given.found(query), expected, "{query}");
    check("namespace:prod", &[3, 1]);
    check("namespace:prod namespace:test", &[3, 2, 1]);
    check("-namespace:prod", &[2]);
    check("pod:shop-7d4b9c6f8-x2x4z", &[3, 1]);
    check("pod:shop-*", &[3, 1]);
    check("pod:12345678-9abc-def0-1234-56789abcdef0", &[3, 1]);
    check("pod_uid:12345678*", &[3, 1]);
    check("pod_container:web", &[3, 1]);
    check("workload:deployment/shop", &[3, 1]);
    check("workload:shop", &[3, 1]);
    check("workload:hop", &[]);
    check("image_digest:r/api@sha256:aabb", &[1]);
    check("image_digest:sha256:aabb", &[1]);
    check("image_digest:sha256:aa", &[1]);
    check("image_digest:cc", &[3]);
    check("image_digest:bb", &[]);
    check("-image_digest:aabb", &[3, 2]);
    check("compose_project:shop", &[3, 2, 1]);
    check("compose_service:api", &[3, 1]);
    check("compose_service:a*", &[3, 1]);
    check("runtime:containerd", &[3, 1]);
}

#[test]
fn words_are_beginnings_of_others_and_whole_in_quotes() {
    let given = Given::new();
    for (number, function) in (1..).zip(["parse_header", "parse_heading", "parse_head"]) {
        given.analysed(&record(number), function);
    }
    // More words than are told apart.
    for (number, letter) in (10..).zip('a'..='t') {
        given.analysed(&record(number), &format!("part{letter}"));
    }
    given.analysed(&record(40), "call_12345");
    for (query, expected) in [
        ("parse_head", &[3, 2, 1][..]),
        ("PARSE_Head", &[3, 2, 1]),
        ("parse_header", &[1]),
        ("\"parse_head\"", &[3]),
        ("\"parse_header\"", &[1]),
        ("text:\"parse head\"", &[3]),
        // Beginnings have three letters; numbers are whole.
        ("parse_he", &[]),
        ("call_123", &[]),
        ("call_12345", &[40]),
        ("parte", &[14]),
        ("partz", &[]),
    ] {
        assert_eq!(given.found(query), expected, "{query}");
    }
    assert_eq!(given.found("part").len(), 20);
    assert_eq!(given.found("-part").len(), 4);
}

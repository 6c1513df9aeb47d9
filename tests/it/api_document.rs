//! The `OpenAPI` document against the service that serves it, by programs that others wrote.

use aground_testkit::house::root;
use aground_testkit::run::{finish, finish_within};
use aground_testkit::site::{Site, text};
use aground_testkit::synthetic::Core;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// What is checked. 412 and 507 are answers of the tus protocol: another version of it, no room. What
/// a client adds to the headers that a document names, HTTP passes over. The other checks are about
/// what no document says here: which data must be good, what else a path takes, who is let in.
const CHECKS: &str = "\
[checks]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 406, 409, 412, 415, 422, 428, 429]
positive_data_acceptance.enabled = false
missing_required_header.enabled = false
unsupported_method.enabled = false
allow_header_conformance.enabled = false
use_after_free.enabled = false
ensure_resource_availability.enabled = false
ignored_auth.enabled = false
object_level_authorization.enabled = false
[[operations]]
include-path = '/api/v1/uploads'
checks.negative_data_rejection.enabled = false
checks.not_a_server_error.expected-statuses = ['2xx', '3xx', '4xx', 507]
";

/// Where schemathesis and openapi-python-client are.
fn tools() -> PathBuf {
    let found = finish(&mut Command::new(root().join("tests/api/tools"))).ok();
    found.trim().into()
}

/// A service with crashes in groups, and the ids of a dump and of its group.
fn given() -> (Site, String, String) {
    let site = Site::started();
    for (number, signal) in [11, 11, 11, 6].into_iter().enumerate() {
        let core = Core {
            signal,
            rip: 0x40_1136 + number as u64,
            ..Core::default()
        };
        let path = site.path().join(format!("core.{number}"));
        std::fs::write(&path, core.bytes()).unwrap();
        site.aground(&["import", "--hostname", "node", text(&path)])
            .ok();
    }
    let dumps = site.wait_for(4, &[]);
    let grouped = dumps.iter().map(|dump| &dump["summary"]);
    let grouped = grouped.into_iter().find(|dump| dump["group"].is_string());
    let named = |name: &str| grouped.unwrap()[name].as_str().unwrap().to_owned();
    let (dump, group) = (named("id"), named("group"));
    (site, dump, group)
}

/// `AGROUND_EXAMPLES` asks for more than the few of each operation that fit into the suite.
#[test]
fn the_service_does_what_its_document_says_whatever_it_is_asked() {
    let (site, dump, group) = given();
    let examples = std::env::var("AGROUND_EXAMPLES").unwrap_or_else(|_| "8".to_owned());
    let configuration = site.path().join("schemathesis.toml");
    let named = |path: &str, reference: &str| {
        format!(
            "[[operations]]\ninclude-path-regex = '^/api/v1/{path}/.ref'\nexclude-method = 'DELETE'\nparameters = {{ 'path.ref' = '{reference}' }}\n"
        )
    };
    let prune = "[[operations]]\ninclude-path = '/api/v1/prune'\nparameters = { 'query.dry_run' = 'true' }\n";
    let all = CHECKS.to_owned() + &named("dumps", &dump) + &named("groups", &group) + prune;
    std::fs::write(&configuration, all).unwrap();
    let mut command = Command::new(tools().join("schemathesis"));
    command
        .current_dir(site.path())
        .arg("--no-color")
        .arg("--config-file")
        .arg(&configuration)
        .arg("run")
        .arg(format!(
            "http://127.0.0.1:{}/api/v1/openapi.json",
            site.port()
        ))
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", &examples])
        .args([
            "--seed",
            "1",
            "--workers",
            "2",
            "--warnings",
            "off",
            "--continue-on-failure",
        ])
        // It does not end.
        .args(["--exclude-path", "/api/v1/events"]);
    let told = finish_within(Duration::from_mins(30), &mut command).ok();
    assert!(told.contains("No issues found"), "{told}");
    println!("{told}");
}

#[test]
fn a_client_made_from_the_document_does_the_main_jobs() {
    let (site, dump, group) = given();
    let tools = tools();
    let (document, package) = (site.path().join("openapi.json"), site.path().join("made"));
    std::fs::write(&document, site.get("/api/v1/openapi.json").text()).unwrap();
    // A type of content that it does not know by itself.
    let options = site.path().join("client.yaml");
    let told =
        "content_type_overrides:\n  application/offset+octet-stream: application/octet-stream\n";
    std::fs::write(&options, told).unwrap();
    let path = format!("{}:/usr/bin:/bin", tools.display());
    let made = finish(
        Command::new(tools.join("openapi-python-client"))
            .env("PATH", &path)
            .args(["generate", "--meta", "none", "--fail-on-warning", "--path"])
            .arg(&document)
            .arg("--config")
            .arg(&options)
            .arg("--output-path")
            .arg(&package),
    );
    made.ok();
    let used = finish(
        Command::new(tools.join("python3"))
            .arg(root().join("tests/api/client.py"))
            .env("PYTHONPATH", site.path())
            .arg(format!("http://127.0.0.1:{}", site.port()))
            .args([dump, group]),
    );
    assert_eq!(used.ok().trim(), "all done");
}

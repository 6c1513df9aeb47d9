//! What surrounded the process at death is frozen with the crash: resources, connections, mounts,
//! confinement; and secrets are not.

use aground_testkit::docker::{Container, require_engine};
use aground_testkit::programs::RELEASE;
use aground_testkit::site::Site;

/// Listens, connects to itself, and reads through a null pointer.
const PROGRAM: &str = "import ctypes, socket
server = socket.create_server(('127.0.0.1', 4321))
client = socket.create_connection(('127.0.0.1', 4321))
ctypes.string_at(0)";

#[test]
fn the_surroundings_are_those_docker_was_asked_for() {
    require_engine();
    let image = RELEASE.image("reports");
    let site = Site::started();
    let container = Container::new("reports")
        .option("--entrypoint=/usr/bin/python3.11")
        .option("--memory=96m")
        .option("--cpus=0.75")
        .option("--pids-limit=77")
        .option("--mount=type=tmpfs,destination=/scratch,readonly")
        .option("--env=API_TOKEN=hunter2")
        .option("--env=COLOUR=green")
        .option("--security-opt=no-new-privileges")
        .option("--ipc=host");
    {
        let _claim = site.collect();
        container.run(&image.reference, &["-c", PROGRAM]);
    }
    let dump = site.dump_of(&container.name);
    let context = &dump["record"]["context"];

    let resources = &context["resources"];
    assert_eq!(resources["memory_max"], 96 << 20, "{context:#}");
    assert_eq!(resources["pids_max"], 77, "{context:#}");
    assert_eq!(resources["cpu_millis"], 750, "{context:#}");
    assert!(
        resources["memory_current"].as_u64().unwrap() > 1 << 20,
        "{context:#}"
    );

    let sockets = context["sockets"].as_array().unwrap();
    let has = |state: &str, field: &str| {
        sockets
            .iter()
            .any(|socket| socket["state"] == state && socket[field] == "127.0.0.1:4321")
    };
    assert!(
        has("LISTEN", "local") && has("ESTAB", "peer"),
        "{sockets:#?}"
    );

    let mounts = context["mounts"].as_array().unwrap();
    let scratch = mounts.iter().find(|mount| mount["path"] == "/scratch");
    let scratch = scratch.unwrap_or_else(|| panic!("{mounts:#?}"));
    assert_eq!(scratch["kind"], "tmpfs");
    assert_eq!(scratch["read_only"], true);

    let security = &context["security"];
    assert_eq!(security["no_new_privileges"], true);
    assert_eq!(
        security["host_namespaces"],
        serde_json::json!(["ipc", "user"])
    );

    let environment = dump["record"]["process"]["environment"].to_string();
    assert!(environment.contains("COLOUR=green"), "{environment}");
    assert!(
        environment.contains("API_TOKEN=[redacted]"),
        "{environment}"
    );
    let record = dump["record"].to_string();
    assert!(!record.contains("hunter2"), "a secret was kept: {record}");

    let id = dump["summary"]["id"].as_str().unwrap();
    let page = site.get(&format!("/dumps/{id}")).text();
    for shown in ["127.0.0.1:4321", "/scratch", "0.750 of one"] {
        assert!(page.contains(shown), "the page lacks {shown}");
    }
}

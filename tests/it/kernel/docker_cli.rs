//! `docker dumps …` through the real Docker CLI.

use aground_testkit::docker::{Container, require_engine};
use aground_testkit::programs::RELEASE;
use aground_testkit::run::{Outcome, finish, run};
use aground_testkit::site::{Site, json_lines};
use std::os::unix::fs::symlink;
use std::process::Command;

/// `docker` with our plugin and nothing else in its configuration.
fn docker(site: &Site, arguments: &[&str]) -> Outcome {
    let config = site.path().join("docker-config");
    let plugins = config.join("cli-plugins");
    if !plugins.exists() {
        std::fs::create_dir_all(&plugins).unwrap();
        symlink(site.program("docker-dumps"), plugins.join("docker-dumps")).unwrap();
    }
    finish(
        Command::new("docker")
            .args(arguments)
            .env("DOCKER_CONFIG", config)
            .env("AGROUND_HOST", site.host()),
    )
}

#[test]
fn the_dump_verbs_work_as_a_docker_command() {
    require_engine();
    let images = ["shop-api", "payments"].map(|name| RELEASE.image(name));
    let site = Site::started();
    let containers = ["shop-api", "payments"].map(Container::new);
    {
        let _claim = site.collect();
        for (container, image) in containers.iter().zip(&images) {
            container.run(&image.reference, &[]);
        }
    }
    site.wait_for(2, &[]);

    // As a CLI with hooks asks after a command (Debian's has none).
    let newest = &site.ids(&[])[0][..12];
    let mut hook = Command::new(site.program("docker-dumps"));
    let after = r#"{"RootCmd":"run","Flags":{},"CommandError":""}"#;
    hook.args(["dumps", "docker-cli-plugin-hooks", after]);
    let said = finish(hook.env("AGROUND_HOST", site.host())).ok();
    assert!(
        said.contains(&format!("docker dumps bt {newest}")),
        "{said}"
    );

    let help = docker(&site, &["--help"]).ok();
    assert!(
        help.contains("dumps*"),
        "docker does not list the plugin:\n{help}"
    );

    let listed = docker(
        &site,
        &[
            "dumps",
            "ls",
            "--filter",
            &format!("image={}", images[0].reference),
            "--format",
            "json",
        ],
    )
    .ok();
    let rows = json_lines(&listed);
    assert_eq!(rows.len(), 1, "{listed}");
    assert!(
        listed.contains(&containers[0].name) && !listed.contains(&containers[1].name),
        "{listed}"
    );

    let quiet = docker(
        &site,
        &[
            "dumps",
            "ls",
            "-q",
            "--filter",
            &format!("container={}", containers[0].name),
        ],
    )
    .ok();
    let short = quiet.trim();
    assert_eq!(short.len(), 12, "not a short id: {quiet}");
    let prefix = &short[..8];

    let backtrace = docker(&site, &["dumps", "bt", prefix]).ok();
    for text in ["parse_host", "handle_request", "http.c:"] {
        assert!(backtrace.contains(text), "{text} is missing:\n{backtrace}");
    }

    let core = docker(&site, &["dumps", "cp", prefix, "-"]);
    assert_eq!(core.code, Some(0), "{}", core.stderr);
    let path = site.path().join("copied.core");
    std::fs::write(&path, &core.bytes).unwrap();
    let kind = run("file", &[path.to_str().unwrap()]).ok();
    assert!(kind.contains("ELF 64-bit LSB core file"), "{kind}");
    assert_eq!(
        std::fs::read(site.core(short)).unwrap(),
        core.bytes,
        "aground cp gives another core"
    );

    let inspected = docker(&site, &["dumps", "inspect", prefix]).ok();
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert!(inspected.is_array(), "docker's inspect gives an array");

    let table = docker(&site, &["dumps", "ls"]).ok();
    assert!(
        table.lines().next().unwrap().contains("CONTAINER"),
        "{table}"
    );
    assert_eq!(table.lines().count(), 3, "{table}");

    let removed = docker(&site, &["dumps", "rm", prefix]).ok();
    assert!(removed.contains(prefix), "{removed}");
    assert_eq!(site.ids(&[]).len(), 1);
    let again = docker(&site, &["dumps", "rm", prefix]);
    assert_ne!(again.code, Some(0));
}

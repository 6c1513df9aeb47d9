//! `docker-dumps` as the Docker CLI runs it; argument lists as CLI 28.2 passes them.

use crate::site::{Site, failed, ok, record};
use std::process::Output;

async fn plugin(site: &Site, arguments: &[&str]) -> Output {
    site.run(env!("CARGO_BIN_EXE_docker-dumps"), arguments)
        .await
}

#[tokio::test]
async fn the_docker_cli_learns_who_we_are_without_a_daemon() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_docker-dumps"))
        .arg("docker-cli-plugin-metadata")
        .env("AGROUND_HOST", "unix:///nonexistent")
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_str(&ok(&output)).unwrap();
    assert_eq!(metadata["SchemaVersion"], "0.1.0");
    assert_ne!(metadata["Vendor"].as_str().unwrap(), "");
}

#[tokio::test]
async fn verbs_run_behind_dockers_global_flags() {
    let site = Site::with(&[record(1)]).await;
    for arguments in [
        &["dumps", "ls", "-q", "--filter", "container=shop-1"][..],
        &[
            "--debug",
            "--context",
            "default",
            "-l",
            "error",
            "dumps",
            "ls",
            "-q",
        ],
        &["ls", "-q"],
    ] {
        assert_eq!(
            ok(&plugin(&site, arguments).await),
            "110101020304\n",
            "{arguments:?}"
        );
    }
    let error = failed(&plugin(&site, &["dumps", "bt", "zz"]).await, 1);
    assert!(error.starts_with("docker dumps: no dump"), "{error}");
    for absent in ["serve", "install", "uninstall", "analyze"] {
        let output = plugin(&site, &["dumps", absent]).await;
        assert_eq!(
            output.status.code(),
            Some(125),
            "{absent} is no verb about dumps"
        );
    }
}

#[tokio::test]
async fn help_is_dockers() {
    let site = Site::with(&[]).await;
    for arguments in [
        &["dumps"][..],
        &["dumps", "--help"],
        &["help", "dumps"],
        &["--help"],
    ] {
        let help = ok(&plugin(&site, arguments).await);
        assert!(
            help.starts_with("Usage:  docker dumps"),
            "{arguments:?}: {help}"
        );
        assert!(
            help.contains("\n  ls ") && help.contains("Run 'docker dumps COMMAND --help'"),
            "{help}"
        );
    }
    let help = ok(&plugin(&site, &["help", "dumps", "ls"]).await);
    assert!(
        help.starts_with("Usage:  docker dumps ls [OPTIONS]"),
        "{help}"
    );
}

#[tokio::test]
async fn shells_complete_ids_and_flags() {
    let site = Site::with(&[record(1), record(2)]).await;
    let ids = ok(&plugin(&site, &["__completeNoDesc", "dumps", "inspect", ""]).await);
    assert_eq!(ids, "220201020304\n110101020304\n:4\n");
    let ids = ok(&plugin(&site, &["__complete", "dumps", "bt", "1"]).await);
    assert_eq!(ids, "110101020304\tserver SIGSEGV in server\n:4\n");
    let flags = ok(&plugin(&site, &["__complete", "dumps", "ls", "--fil"]).await);
    assert!(
        flags.starts_with("--filter\t") && flags.ends_with("\n:4\n"),
        "{flags}"
    );
}

/// The plugin reads the Docker CLI's context itself, and does not show this machine's dumps as
/// another's.
#[tokio::test]
async fn an_engine_elsewhere_is_not_answered_from_here() {
    let config = tempfile::tempdir().unwrap();
    let remote = config
        .path()
        .join("contexts/meta/512eea46ceb3921dff4363c7069d89d4964d1d9fccaa0f411851a7aa60a5c868");
    std::fs::create_dir_all(&remote).unwrap();
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_docker-dumps"));
        command.args(arguments).env("DOCKER_CONFIG", config.path());
        for unset in ["AGROUND_HOST", "DOCKER_HOST", "DOCKER_CONTEXT"] {
            command.env_remove(unset);
        }
        command.envs(variables.iter().copied()).output().unwrap()
    };
    let elsewhere = "docker works on another machine (tcp://10.0.0.1:2376)";
    let error = failed(&run(&["-H", "tcp://10.0.0.1:2376", "dumps", "ls"], &[]), 1);
    assert!(error.contains(elsewhere), "{error}");
    let error = failed(
        &run(&["dumps", "ls"], &[("DOCKER_HOST", "tcp://10.0.0.1:2376")]),
        1,
    );
    assert!(error.contains(elsewhere), "{error}");
    let error = failed(&run(&["-c", "nosuch", "dumps", "ls"], &[]), 1);
    assert!(
        error.contains("docker context \"nosuch\" not found"),
        "{error}"
    );
    let error = failed(&run(&["-c", "a", "-H", "tcp://b", "dumps", "ls"], &[]), 1);
    assert!(error.contains("conflicting options"), "{error}");

    let meta = r#"{"Name":"far","Endpoints":{"docker":{"Host":"tcp://10.0.0.1:2376"}}}"#;
    std::fs::write(remote.join("meta.json"), meta).unwrap();
    std::fs::write(
        config.path().join("config.json"),
        r#"{"currentContext":"far"}"#,
    )
    .unwrap();
    let error = failed(&run(&["dumps", "ls"], &[]), 1);
    assert!(error.contains(elsewhere), "{error}");
    let local = run(&["-c", "default", "dumps", "ls"], &[]);
    assert!(
        !String::from_utf8_lossy(&local.stderr).contains("another machine"),
        "{local:?}"
    );
}

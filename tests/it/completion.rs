//! Real shells complete `aground` with what it answers; every verb has a manual page.

use aground_testkit::house;
use aground_testkit::run::{finish, run};
use std::process::Command;

/// A shell that finds `aground` on its path runs `script`.
fn shell(program: &str, flags: &[&str], script: &str) -> String {
    let path = format!("{}:/usr/bin:/bin", house::build_dir().display());
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.args(flags).arg("-c").arg(script);
    command
        .env("PATH", path)
        .env("AGROUND_HOST", "unix:///nonexistent")
        // Fish makes directories there.
        .env("HOME", home.path());
    finish(&mut command).ok()
}

#[test]
fn bash_completes() {
    let ask = |line: &str| {
        shell(
            "bash",
            &["--norc"],
            &format!(
                "source <(aground completion bash)
                 compopt() {{ :; }}
                 COMP_LINE='{line}' COMP_POINT={}
                 _aground; echo \"${{COMPREPLY[@]}}\"",
                line.len()
            ),
        )
    };
    assert_eq!(ask("aground serv"), "serve\n");
    assert_eq!(ask("aground --host unix:///x l"), "ls log\n");
    assert_eq!(ask("aground ls -f state=re"), "resolved regressed\n");
    assert_eq!(
        ask("aground no-such x"),
        "
"
    );
}

#[test]
fn fish_completes() {
    let ask = |line: &str| {
        let script = format!("aground completion fish | source; complete -C '{line}'");
        shell("fish", &["--no-config"], &script)
    };
    assert_eq!(
        ask("aground groups ex"),
        "explain\tShow why the crashes of a group are one group\n"
    );
    assert_eq!(
        ask("aground ls -f state=re"),
        "state=regressed\nstate=resolved\n"
    );
}

#[test]
fn zsh_takes_the_script() {
    shell(
        "zsh",
        &["-f"],
        "autoload -Uz compinit; compinit -u -D; source <(aground completion zsh); [[ $_comps[aground] == _aground ]]",
    );
}

#[test]
fn every_verb_has_a_page() {
    let directory = tempfile::tempdir().unwrap();
    let aground = house::program("aground");
    run(&aground, &["man".as_ref(), directory.path().as_os_str()]).ok();
    let help = run(&aground, &["--help"]).ok();
    let verbs = help
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let verbs: Vec<&str> = verbs
        .filter(|verb| verb.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect();
    assert!(verbs.len() > 20, "{help}");
    for verb in verbs {
        let page =
            std::fs::read_to_string(directory.path().join(format!("aground-{verb}.1"))).unwrap();
        assert!(
            page.contains(".SH SYNOPSIS") && page.contains(".SH DESCRIPTION"),
            "{page}"
        );
    }
    assert!(directory.path().join("aground-groups-explain.1").exists());
    let error = run(&aground, &["man", "/proc/nowhere"]).one_line_error();
    assert!(
        error.contains("cannot write manual pages to /proc/nowhere"),
        "{error}"
    );
}

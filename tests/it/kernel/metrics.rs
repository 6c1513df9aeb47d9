//! What a monitoring system reads, held against Prometheus' own tool.

use aground_testkit::house::root;
use aground_testkit::run::finish;
use aground_testkit::site::{Site, text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

fn promtool(arguments: &[&str]) -> String {
    finish(Command::new("promtool").args(arguments)).ok()
}

/// The value of one sample, by its whole name.
fn sample(metrics: &str, name: &str) -> Option<String> {
    let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(' ')?.to_owned());
    metrics.lines().find_map(value)
}

/// Names of metrics in an expression.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("aground_"))
}

#[test]
fn metrics_count_crashes_and_are_as_prometheus_wants_them() {
    let site = Site::started();
    {
        let _claim = site.collect();
        let abort = "kill -ABRT $$";
        finish(Command::new("sh").args(["-c", abort]));
    }
    site.wait_for(1, &[]);
    let metrics = site.get("/metrics").text();
    let of = |name: &str| sample(&metrics, name);
    let crashes = r#"aground_crashes_total{image="",kept="full",signal="SIGABRT"}"#;
    assert_eq!(of(crashes).as_deref(), Some("1"), "{metrics}");
    for counted in [
        "aground_hold_seconds_count",
        "aground_core_bytes_count",
        "aground_queue_wait_seconds_count",
        "aground_analysis_seconds_count",
        r#"aground_analyses_total{end="done"}"#,
        r#"aground_groups{state="open"}"#,
        "aground_dumps",
    ] {
        assert_eq!(of(counted).as_deref(), Some("1"), "{counted}: {metrics}");
    }

    let file = site.path().join("metrics");
    fs::write(&file, &metrics).unwrap();
    let said = promtool_on(text(&file));
    assert_eq!(said, "", "{metrics}");
    promtool(&[
        "check",
        "rules",
        text(&root().join("deploy/prometheus/alerts.yml")),
    ]);

    // Alerts and the dashboard speak of metrics that there are.
    let declared = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    let mut known: BTreeSet<String> = BTreeSet::new();
    for (name, kind) in declared.filter_map(|line| line.split_once(' ')) {
        known.insert(name.to_owned());
        known.extend((kind == "histogram").then(|| format!("{name}_bucket")));
    }
    let alerts = fs::read_to_string(root().join("deploy/prometheus/alerts.yml")).unwrap();
    let dashboard = fs::read_to_string(root().join("deploy/grafana/aground.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap());
    let shown: Vec<&str> = targets
        .map(|target| target["expr"].as_str().unwrap())
        .collect();
    let alerts = alerts.lines().filter(|line| line.contains("expr:"));
    // Incomplete crashes and engines have no sample before there are any.
    let used: BTreeSet<&str> = shown.into_iter().chain(alerts).flat_map(names).collect();
    assert!(used.len() > 10, "{used:?}");
    for name in used {
        assert!(known.contains(name), "{name} is no metric");
    }
}

fn promtool_on(file: &str) -> String {
    let script = "promtool check metrics <\"$0\" 2>&1";
    finish(Command::new("sh").args(["-ec", script, file])).ok()
}

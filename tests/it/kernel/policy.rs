//! What is kept of a crash: as its container's labels ask, and less of a crash loop.

use aground_testkit::docker::{Container, require_engine};
use aground_testkit::gdb;
use aground_testkit::programs::RELEASE;
use aground_testkit::run::run;
use aground_testkit::site::Site;
use serde_json::Value;

/// Crashes of the container that loops.
const CRASHES: usize = 16;

fn capture(dump: &Value) -> &Value {
    &dump["record"]["capture"]
}

#[test]
fn labels_choose_what_is_kept() {
    require_engine();
    let image = RELEASE.image("shop-api");
    let site = Site::started();
    let asked = ["full", "lean", "trace", "record", "everything"];
    let containers: Vec<Container> = asked
        .iter()
        .map(|policy| {
            Container::new(policy)
                .option(&format!("--label=aground.policy={policy}"))
                .option("--label=aground.redact=SHOP_*")
                .option("--env=SHOP_PIN=4711")
        })
        .collect();
    {
        let _claim = site.collect();
        for container in &containers {
            container.run(&image.reference, &[]);
        }
    }
    site.wait_for(asked.len(), &[]);
    let expected = ["full", "lean", "lean", "none", "full"];
    for ((asked, container), expected) in asked.iter().zip(&containers).zip(expected) {
        let dump = site.dump_of(&container.name);
        let capture = capture(&dump);
        assert_eq!(capture["kept"], expected, "{asked}: {capture:#}");
        assert!(
            dump["record"].to_string().contains("SHOP_PIN=[redacted]"),
            "{asked}"
        );
        if expected == "none" {
            let reason = capture["reason"].as_str().unwrap();
            assert_eq!(reason, "no memory is asked for (label aground.policy)");
        } else {
            assert_eq!(
                dump["report"]["cause"]["kind"], "null-dereference",
                "{asked}"
            );
            let site = &dump["report"]["site"];
            let shown = !site["memory"].as_array().unwrap().is_empty();
            assert_eq!(shown, *asked != "trace", "{asked}: {site:#}");
            let has_values = gdb::has_values(&dump["report"]);
            assert_eq!(has_values, *asked != "trace", "{asked}");
        }
    }
    let wrong = site.dump_of(&containers[4].name);
    assert_eq!(capture(&wrong)["policy_from"], "default");
    let id = wrong["summary"]["id"].as_str().unwrap();
    let page = site.get(&format!("/dumps/{id}")).text();
    assert!(
        page.contains("the label aground.policy was not obeyed"),
        "{page}"
    );
}

#[test]
fn a_crash_loop_keeps_less_and_takes_nothing_from_others() {
    require_engine();
    let (looping, other) = (RELEASE.image("shop-api"), RELEASE.image("payments"));
    let site = Site::started();
    let container = Container::new("shop-api");
    let bystander = Container::new("payments");
    {
        let _claim = site.collect();
        container.run(&looping.reference, &[]);
        for _ in 1..CRASHES {
            run("docker", &["start", "--attach", &container.name]);
        }
        bystander.run(&other.reference, &[]);
    }
    let filter = format!("container={}", container.name);
    let dumps = site.wait_for(CRASHES, &[&filter]);
    let kept = |kept: &str| {
        let of = |dump: &&Value| capture(dump)["kept"] == kept;
        dumps.iter().filter(of).count()
    };
    assert_eq!((kept("full"), kept("lean"), kept("none")), (3, 10, 3));
    let last = capture(&dumps[0]);
    let reason = last["reason"].as_str().unwrap();
    assert!(reason.starts_with("the governor: crash 16 of "), "{reason}");
    let untouched = site.dump_of(&bystander.name);
    assert_eq!(capture(&untouched)["kept"], "full");

    let limited = site.aground(&["governor", "--limited"]).ok();
    assert!(
        limited.contains(&container.name) && limited.contains("record"),
        "{limited}"
    );
    assert!(!limited.contains(&bystander.name), "{limited}");
    let page = site.get("/status").text();
    assert!(
        page.contains("Crash loops") && page.contains(&container.name),
        "{page}"
    );

    let wrong = site.aground(&["governor", "reset", "0123456789abcdef"]);
    assert_ne!(wrong.code, Some(0));
    assert!(
        wrong.stderr.contains("counts nothing under"),
        "{}",
        wrong.stderr
    );
    for key in site.aground(&["governor", "--limited", "-q"]).ok().lines() {
        site.aground(&["governor", "reset", key]).ok();
    }
    {
        let _claim = site.collect();
        run("docker", &["start", "--attach", &container.name]);
    }
    let dumps = site.wait_for(CRASHES + 1, &[&filter]);
    assert_eq!(capture(&dumps[0])["kept"], "full");
}

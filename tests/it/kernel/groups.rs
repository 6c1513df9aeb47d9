//! One bug is one group, whatever its addresses; two bugs are two, even in one binary.

use aground_testkit::docker::{Container, require_engine};
use aground_testkit::programs::{NEXT_RELEASE, RELEASE};
use aground_testkit::site::Site;
use std::collections::BTreeSet;

#[test]
fn ten_crashes_of_one_bug_in_two_image_builds_are_one_group() {
    require_engine();
    let images = [RELEASE.image("shop-api"), NEXT_RELEASE.image("shop-api")];
    let site = Site::started();
    let containers = [0, 1, 2].map(|_| Container::new("shop-api"));
    {
        let _claim = site.collect();
        for crash in 0..10 {
            match (crash, crash % 3) {
                (0..3, which) => drop(containers[which].run(&images[which % 2].reference, &[])),
                (_, which) => drop(aground_testkit::run::run(
                    "docker",
                    &["start", "--attach", &containers[which].name],
                )),
            }
        }
    }
    let dumps = site.wait_for(10, &[]);
    assert_eq!(dumps.len(), 10);
    let pcs: BTreeSet<String> = dumps
        .iter()
        .map(|dump| dump["report"]["threads"][0]["frames"][0]["pc"].to_string())
        .collect();
    assert!(
        pcs.len() > 2,
        "addresses do not differ, so this shows nothing: {pcs:?}"
    );
    let builds: BTreeSet<String> = dumps
        .iter()
        .map(|dump| dump["report"]["threads"][0]["frames"][0]["build_id"].to_string())
        .collect();
    assert_eq!(builds.len(), 2, "{builds:?}");

    let groups = site.get("/api/v1/groups").json();
    let groups = groups["items"].as_array().unwrap();
    assert_eq!(groups.len(), 1, "{groups:#?}");
    assert_eq!(groups[0]["count"], 10);
    assert_eq!(groups[0]["cause"], "null-dereference");
    assert_eq!(groups[0]["images"].as_array().unwrap().len(), 2);
    assert_eq!(groups[0]["containers"].as_array().unwrap().len(), 3);
    let table = site.aground(&["groups"]).ok();
    assert!(
        table.contains("parse_host") && table.contains("10"),
        "{table}"
    );
}

#[test]
fn two_bugs_in_one_binary_are_two_groups() {
    require_engine();
    let image = RELEASE.image("inventory");
    let site = Site::started();
    {
        let _claim = site.collect();
        for bug in ["divide", "write", "divide", "write"] {
            Container::new("inventory").run(&image.reference, &[bug]);
        }
    }
    site.wait_for(4, &[]);
    let groups = site.get("/api/v1/groups").json();
    let groups = groups["items"].as_array().unwrap();
    assert_eq!(groups.len(), 2, "{groups:#?}");
    assert!(
        groups.iter().all(|group| group["count"] == 2),
        "{groups:#?}"
    );
    let causes: BTreeSet<&str> = groups
        .iter()
        .map(|group| group["cause"].as_str().unwrap())
        .collect();
    assert_eq!(
        causes,
        BTreeSet::from(["division-by-zero", "null-dereference"])
    );
}

#[test]
fn a_container_says_what_it_is_grouped_by_and_who_looks_after_it() {
    require_engine();
    let image = RELEASE.image("inventory");
    let site = Site::started();
    let crash = |mode: &str, group: &str, owner: &str| {
        let container = Container::new("inventory")
            .option(&format!("--label=aground.group={group}"))
            .option(&format!("--label=aground.owner={owner}"));
        container.run(&image.reference, &[mode]);
    };
    {
        let _claim = site.collect();
        for mode in ["divide", "write"] {
            crash(mode, "outage 7", "payments");
            crash(mode, "{default} of tenant a", "payments");
            crash(mode, "two\nlines", "");
        }
    }
    site.wait_for(6, &[]);
    let titles = |filter: &str| -> Vec<String> {
        let groups = site.aground(&["groups", "--filter", filter, "--format", "{{.Title}}"]);
        let mut titles: Vec<String> = groups.ok().lines().map(str::to_owned).collect();
        titles.sort();
        titles
    };
    let owned = titles("owner=payments");
    assert_eq!(owned.len(), 3, "{owned:#?}");
    assert_eq!(owned.iter().filter(|title| *title == "outage 7").count(), 1);
    let extended = owned.iter().filter(|title| title.ends_with(" of tenant a"));
    assert_eq!(extended.count(), 2, "{owned:#?}");
    // What is not understood changes nothing and is told.
    let plain = titles("owner!=payments");
    assert_eq!(plain.len(), 2, "{plain:#?}");
    let id = &site.ids(&["owner!=payments"])[0];
    let page = site.get(&format!("/dumps/{id}")).text();
    for label in ["aground.group", "aground.owner"] {
        let told = format!("the label {label} was not obeyed");
        assert!(page.contains(&told), "{told}");
    }
}

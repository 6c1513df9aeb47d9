//! `aground install` and `aground uninstall` leave the kernel as they found it.

use aground_testkit::core_pattern::CorePattern;
use aground_testkit::site::Site;

#[test]
fn uninstall_puts_back_what_install_found() {
    let site = Site::started();
    let claim = CorePattern::claim();
    let odd = "/var/tmp/core.%e.%p %t";
    claim.set(odd);
    let limit = CorePattern::pipe_limit();

    site.install().ok();
    let ours = CorePattern::value();
    assert!(
        ours.starts_with('|') && ours.contains("aground-collect"),
        "{ours}"
    );
    assert!(ours.contains(site.state().to_str().unwrap()), "{ours}");
    assert_ne!(CorePattern::pipe_limit(), "0");
    assert_eq!(site.get("/api/v1/status").json()["installed"], true);

    // A second time changes nothing, and above all not what is remembered.
    site.install().ok();
    assert_eq!(CorePattern::value(), ours);

    site.uninstall().ok();
    assert_eq!(CorePattern::value(), odd);
    assert_eq!(CorePattern::pipe_limit(), limit);
    drop(claim);
}

#[test]
fn uninstall_leaves_a_pattern_that_is_not_ours() {
    let site = Site::started();
    let claim = CorePattern::claim();
    site.install().ok();
    claim.set("|/usr/bin/somebody-else %p");
    site.uninstall();
    assert_eq!(CorePattern::value(), "|/usr/bin/somebody-else %p");
}

#[test]
fn uninstall_without_install_changes_nothing() {
    let site = Site::new();
    let claim = CorePattern::claim();
    let (pattern, limit) = claim.before();
    site.uninstall();
    assert_eq!(
        (
            CorePattern::value().as_str(),
            CorePattern::pipe_limit().as_str()
        ),
        (pattern, limit)
    );
}

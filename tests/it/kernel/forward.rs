//! The handler that was there before goes on getting crashes, exactly as from the kernel.

use aground_testkit::core_pattern::CorePattern;
use aground_testkit::handler::{Given, Handler};
use aground_testkit::listener::Listener;
use aground_testkit::run::eventually;
use aground_testkit::site::Site;
use aground_testkit::systemd_coredump::{PATTERN, SystemdCoredump};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// Every specifier there is, some that there are not, and one that splits if that comes too late.
const ARGUMENTS: &str = "%P %p %i %I %u %g %d %s %c %h %e %f %E %F %t %C 1%% %z  -%e";

/// Dies in namespaces of its own, under a name that could be taken for two words and a path.
fn crash() {
    let program = "printf 'a b/c' >/proc/self/comm; ulimit -c 77; kill -SEGV $$";
    let status = Command::new("unshare")
        .args(["--uts", "--pid", "--fork", "--mount-proc", "sh", "-c"])
        .args(["hostname odd-host; sh -c \"$0\"; true", program])
        .status();
    assert!(status.unwrap().success());
}

fn given_after(handler: &Handler, before: usize) -> Vec<Given> {
    eventually(Duration::from_secs(30), || {
        let given = handler.given();
        (given.len() > before)
            .then_some(given)
            .ok_or_else(|| "the handler got nothing".to_owned())
    })
}

#[test]
fn it_gets_what_the_kernel_would_have_given_it() {
    check(|site| {
        site.install().ok();
        None
    });
}

#[test]
fn it_gets_the_same_when_the_kernel_connects_to_a_socket() {
    check(|site| {
        let listener = Listener::start(site);
        listener.install(site);
        Some(listener)
    });
}

/// Crashes twice, before and after `install`, and compares what the handler was given.
fn check(install: impl FnOnce(&Site) -> Option<Listener>) {
    let mut site = Site::new();
    site.start_with_config("[capture.forward]\nhost = \"also\"\n");
    let handler = Handler::reading(&site);
    let pattern = handler.pattern(ARGUMENTS);
    let claim = CorePattern::claim();
    claim.set(&pattern);
    fs::write("/proc/sys/kernel/core_pipe_limit", "16").unwrap();
    crash();
    let by_kernel = given_after(&handler, 0).remove(0);

    let _listener = install(&site);
    assert_ne!(CorePattern::value(), pattern);
    crash();
    let dump = site.wait_for(1, &[]).remove(0);
    assert_eq!(site.uninstall().code, Some(0));
    assert_eq!(CorePattern::value(), pattern);
    drop(claim);

    let pid = &by_kernel.arguments[0];
    let is_by_us = |given: &Given| given.arguments[0] != *pid;
    let by_us = handler.given().into_iter().find(is_by_us).unwrap();
    assert_eq!(by_us.surroundings, by_kernel.surroundings);
    assert!(by_us.surroundings.ends_with("pidfd\nthere\n"), "{by_us:?}");
    let (ours, theirs) = (&by_us.arguments, &by_kernel.arguments);
    assert_eq!(ours.len(), theirs.len(), "{ours:?} {theirs:?}");
    for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        // Process, thread, time and processor are their own.
        if [0, 3, 14, 15].contains(&index) {
            assert!(ours.parse::<u64>().is_ok(), "{index}: {ours}");
        } else {
            assert_eq!(ours, theirs, "argument {index}");
        }
    }
    assert_eq!(ours[9..11], ["odd-host", "a b!c"]);

    let forwarded = &dump["record"]["capture"]["forwarded"];
    assert_eq!(forwarded["to"], handler.program());
    assert_eq!(forwarded["trouble"], serde_json::Value::Null);
    assert_eq!(dump["record"]["capture"]["kept"], "full");
    let id = dump["summary"]["id"].as_str().unwrap();
    let core = fs::read(site.core(id)).unwrap();
    assert!(fs::read(by_us.core).unwrap() == core, "another core");
    assert_eq!(forwarded["bytes"], core.len());
    let page = site.get(&format!("/dumps/{id}")).text();
    assert!(page.contains(handler.program()), "{page}");
}

#[test]
fn the_real_systemd_coredump_stores_the_same_core() {
    let mut site = Site::new();
    site.start_with_config("[capture.forward]\nhost = \"also\"\n");
    let claim = CorePattern::claim();
    let peer = SystemdCoredump::start();
    claim.set(PATTERN);
    site.install().ok();
    crash();
    let dump = site.wait_for(1, &[]).remove(0);
    let forwarded = &dump["record"]["capture"]["forwarded"];
    assert_eq!(forwarded["trouble"], serde_json::Value::Null);
    let pid = dump["record"]["kernel"]["pid"].as_u64().unwrap();
    let (core, facts) = peer.core_of(pid);
    drop((peer, claim));
    let id = dump["summary"]["id"].as_str().unwrap();
    assert!(fs::read(site.core(id)).unwrap() == core, "another core");
    for fact in [
        "user.coredump.comm=\"a b/c\"",
        "user.coredump.signal=\"11\"",
        "user.coredump.hostname=\"odd-host\"",
        "user.coredump.rlimit=\"9223372036854775808\"",
    ] {
        assert!(facts.contains(fact), "{fact} is not in\n{facts}");
    }
}

#[test]
fn instead_of_us_it_gets_the_memory_and_we_the_record() {
    let mut site = Site::new();
    site.start_with_config(
        "[[capture.rule]]\nexecutable = \"*\"\nsignal = \"SIGSEGV\"\nforward = \"instead\"\n",
    );
    let handler = Handler::reading(&site);
    let claim = CorePattern::claim();
    claim.set(&handler.pattern("%P"));
    site.install().ok();
    crash();
    let aborts = Command::new("sh").args(["-c", "kill -ABRT $$"]).status();
    assert!(!aborts.unwrap().success());
    let dumps = site.wait_for(2, &[]);
    drop(claim);

    let of = |signal: &str| {
        dumps
            .iter()
            .find(|dump| dump["summary"]["signal"] == signal)
    };
    let capture = &of("SIGSEGV").unwrap()["record"]["capture"];
    assert_eq!(capture["kept"], "none", "{capture:#}");
    let reason = format!("the memory went to {}", handler.program());
    assert_eq!(capture["reason"], reason.as_str());
    let given = handler.given();
    assert_eq!(given.len(), 1, "{given:?}");
    let size = fs::metadata(&given[0].core).unwrap().len();
    assert_eq!(capture["core_size"], size);
    assert_eq!(capture["forwarded"]["bytes"], size);
    let other = &of("SIGABRT").unwrap()["record"]["capture"];
    assert_eq!(other["kept"], "full");
    assert_eq!(other["forwarded"], serde_json::Value::Null);
}

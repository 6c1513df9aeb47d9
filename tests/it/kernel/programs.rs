//! Each program crashes in a container; the dump must say which container it was and why it
//! died, and its crashed thread must be the one gdb shows.

use aground_testkit::docker::{Container, image_id, require_engine};
use aground_testkit::gdb;
use aground_testkit::programs::{Build, DEBUG, Image, RELEASE};
use aground_testkit::site::Site;
use serde_json::Value;

struct Expected {
    kind: &'static str,
    signal: &'static str,
    /// Functions that must stand in this order in the crashed thread.
    functions: &'static [&'static str],
    /// What the cause must say, in its title or message.
    says: &'static str,
    /// The last frame gdb gets right, where it loses its way.
    gdb_ends_after: Option<&'static str>,
}

fn check(build: Build, name: &'static str, arguments: &[&str], expected: &Expected) {
    require_engine();
    let image = build.image(name);
    let site = Site::started();
    let container = Container::new(name)
        .option("--label=team=shop")
        .option("--hostname=elsewhere");
    {
        let _claim = site.collect();
        container.run(&image.reference, arguments);
    }
    let dump = site.dump_of(&container.name);
    check_identity(&dump, &container, &image);
    check_stack(&site, &dump, &image, expected);
    check_cause(&dump, expected);
}

fn check_identity(dump: &Value, container: &Container, image: &Image) {
    let known = &dump["summary"]["container"];
    assert_eq!(known["runtime"], "docker");
    assert_eq!(known["id"], container.id());
    assert_eq!(known["name"], container.name);
    assert_eq!(known["image"], image.reference);
    assert_eq!(known["image_id"], image_id(&image.reference));
    assert_eq!(known["labels"]["team"], "shop");
    assert_eq!(dump["record"]["container"]["source"], "cgroup-and-disk");
    assert_eq!(dump["summary"]["executable"], image.executable);
}

fn check_cause(dump: &Value, expected: &Expected) {
    let cause = &dump["report"]["cause"];
    assert_eq!(cause["kind"], expected.kind, "{cause:#}");
    assert_eq!(dump["summary"]["cause"], expected.kind);
    assert_eq!(dump["summary"]["signal"], expected.signal);
    let said = format!("{} {}", cause["title"], cause["message"]);
    assert!(
        said.contains(expected.says),
        "{said} does not say {:?}",
        expected.says
    );
    assert_eq!(dump["summary"]["kept"], "full");
    assert_eq!(dump["summary"]["truncated"], false);
}

fn check_stack(site: &Site, dump: &Value, image: &Image, expected: &Expected) {
    let ours = gdb::reported(&dump["report"]);
    let core = site.core(dump["summary"]["id"].as_str().unwrap());
    let mut theirs = gdb::backtrace(&core, image);
    if let Some(last) = expected.gdb_ends_after {
        let end = theirs
            .iter()
            .position(|frame| frame.function.as_deref() == Some(last));
        theirs.truncate(end.expect("gdb's last good frame") + 1);
    }
    assert!(
        ours.len() >= theirs.len(),
        "gdb has more frames\nours: {ours:#?}\ngdb: {theirs:#?}"
    );
    // gdb stops at main; what called main may follow in ours.
    assert_eq!(ours[..theirs.len()], theirs[..], "left: ours, right: gdb");

    let mut names = ours.iter().filter_map(|frame| frame.function.as_deref());
    for function in expected.functions {
        assert!(
            names.any(|name| name == *function),
            "{function} is not where it should be in {ours:#?}"
        );
    }
}

const SHOP_API: Expected = Expected {
    kind: "null-dereference",
    signal: "SIGSEGV",
    functions: &[
        "host_length",
        "parse_host",
        "handle_request",
        "serve_connections",
    ],
    says: "0x8",
    gdb_ends_after: None,
};

#[test]
fn null_dereference_in_a_thread_of_process_1() {
    check(RELEASE, "shop-api", &[], &SHOP_API);
}

#[test]
fn null_dereference_without_optimisation() {
    check(DEBUG, "shop-api", &[], &SHOP_API);
}

#[test]
fn assertion_in_an_inlined_function() {
    let expected = Expected {
        kind: "assertion",
        signal: "SIGABRT",
        functions: &["abort", "balance", "apply_refund", "settle_order", "main"],
        says: "payment->cents_refunded <= payment->cents_paid",
        gdb_ends_after: None,
    };
    check(RELEASE, "payments", &[], &expected);
}

#[test]
fn uncaught_cpp_exception() {
    let expected = Expected {
        kind: "uncaught-exception",
        signal: "SIGABRT",
        functions: &[
            "abort",
            "std::terminate",
            "search::Index::load",
            "search::open_index",
            "main",
        ],
        says: "segment 7: term 3 of 3",
        gdb_ends_after: None,
    };
    check(RELEASE, "search", &[], &expected);
}

#[test]
fn rust_panic_that_aborts() {
    let expected = Expected {
        kind: "panic",
        signal: "SIGABRT",
        functions: &[
            "ledger::Ledger::balance_mut",
            "ledger::Ledger::post",
            "ledger::close_of_day",
            "ledger::main",
        ],
        says: "account 4 is closed, only 2 are open",
        gdb_ends_after: None,
    };
    check(RELEASE, "ledger", &[], &expected);
}

#[test]
fn go_nil_dereference() {
    let expected = Expected {
        kind: "panic",
        signal: "SIGABRT",
        functions: &[
            "main.(*backend).share",
            "main.(*gateway).route",
            "main.serveRequests",
            "main.main",
        ],
        says: "nil pointer dereference",
        // gdb does not know the Go runtime's signal trampoline; behind it are main's frames.
        gdb_ends_after: Some("runtime.sigtramp"),
    };
    check(RELEASE, "gateway", &[], &expected);
}

#[test]
fn debian_python_reads_a_null_pointer() {
    let expected = Expected {
        kind: "null-dereference",
        signal: "SIGSEGV",
        functions: &["_PyEval_EvalFrameDefault", "Py_BytesMain"],
        says: "0x0",
        gdb_ends_after: None,
    };
    check(RELEASE, "reports", &[], &expected);
}

#[test]
fn division_by_zero() {
    let expected = Expected {
        kind: "division-by-zero",
        signal: "SIGFPE",
        functions: &["average_price", "take_stock", "main"],
        says: "average_price",
        gdb_ends_after: None,
    };
    check(RELEASE, "inventory", &["divide"], &expected);
}

#[test]
fn write_through_a_null_pointer() {
    let expected = Expected {
        kind: "null-dereference",
        signal: "SIGSEGV",
        functions: &["restock", "take_stock", "main"],
        says: "write",
        gdb_ends_after: None,
    };
    check(RELEASE, "inventory", &["write"], &expected);
}

#[test]
fn stack_overflow_by_recursion() {
    require_engine();
    let image = RELEASE.image("inventory");
    let site = Site::started();
    let container = Container::new("inventory");
    {
        let _claim = site.collect();
        container.run(&image.reference, &["recurse"]);
    }
    let dump = site.dump_of(&container.name);
    assert_eq!(
        dump["report"]["cause"]["kind"], "stack-overflow",
        "{:#}",
        dump["report"]["cause"]
    );
    let ours = gdb::reported(&dump["report"]);
    assert_eq!(ours[0].function.as_deref(), Some("count_replaced"));
}

/// A crash on the host itself is nobody's container, and says so.
#[test]
fn process_of_the_host_has_no_container() {
    let image = RELEASE.image("inventory");
    let site = Site::started();
    let program = image.root.join("app/inventory");
    {
        let _claim = site.collect();
        aground_testkit::run::run(&program, &["divide"]);
    }
    let dumps = site.wait_for(1, &[]);
    assert_eq!(dumps[0]["summary"]["container"], Value::Null);
    assert_eq!(dumps[0]["summary"]["executable"].as_str(), program.to_str());
    assert_eq!(dumps[0]["report"]["cause"]["kind"], "division-by-zero");
}

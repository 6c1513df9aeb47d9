//! What workers get, and what becomes of a dump when they go wrong.

use crate::given::*;
use aground_daemon::Daemon;
use aground_helper::record::Kept;
use aground_store::types::DumpStatus;
use std::fs;
use std::path::Path;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_gets_open_files_and_nothing_else() {
    let given = Given::analyzer(
        r#"printf '%s' "$manifest" > "${0%/*}/manifest"
        ls -l /proc/$$/fd > "${0%/*}/fds"
        say "$(cat <&3), $(cat <&4), env [$(tr '\0' ' ' </proc/$$/environ)], in $(pwd), $*""#,
    );
    let mut record = record(1);
    record.modules = vec![
        module("/app/a", MODULE),
        module("/app/b", MODULE),
        module("/app/c", &"0".repeat(64)),
    ];
    let entry = given.state("spool/ready").join(record.id.as_str());
    fs::create_dir_all(entry.join("modules")).unwrap();
    fs::write(entry.join("modules").join(MODULE), b"module").unwrap();
    write_entry(&entry, &record);
    let daemon = given.start().await;
    let title = concluded(&daemon, &record.id).summary.title.unwrap();
    let parent = std::process::id();
    assert_eq!(
        title,
        format!(
            "the core, module, env [], in /, worker --memory 4294967296 --seconds 20 --parent {parent}"
        )
    );
    let manifest = fs::read(given.directory.path().join("manifest")).unwrap();
    let manifest: aground_analyzer::manifest::Manifest = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(
        (manifest.core_fd, manifest.crashed_tid),
        (Some(3), Some(4711))
    );
    // One file of two paths is handed over once; one that is not there not at all.
    assert_eq!(
        manifest
            .modules
            .iter()
            .map(|module| module.fd)
            .collect::<Vec<_>>(),
        [Some(4), Some(4), None]
    );
    let fds = fs::read_to_string(given.directory.path().join("fds")).unwrap();
    assert_eq!(
        fds.lines().filter(|line| line.contains("/state/")).count(),
        2,
        "{fds}"
    );
    daemon.shutdown().await;
}

/// A worker that does this with memory, and reports without.
async fn failing(with_memory: &str, seconds: u64) -> (Given, Daemon, aground_store::types::Dump) {
    let script = format!(
        r#"case $manifest in *'"core_fd":null'*) say 'SIGSEGV in server' 2; exit;; esac
        echo attempt >> "${{0%/*}}/attempts"; {with_memory}"#
    );
    let mut given = Given::analyzer(&script);
    given.config.analysis_seconds = seconds;
    let id = given.crash(1);
    let daemon = given.start().await;
    let dump = concluded(&daemon, &id);
    (given, daemon, dump)
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_retried_once_then_shown_and_grouped() {
    let cases = [
        (
            "echo no such thing >&2; exit 3",
            20,
            "the analyzer failed (exit status: 3)",
        ),
        (
            "kill -KILL $$",
            20,
            "the analyzer failed (signal: 9 (SIGKILL))",
        ),
        (
            "echo '{\"schema\":1}'",
            20,
            "the analyzer wrote something that is no report: missing field",
        ),
        (
            "true",
            20,
            "the analyzer wrote something that is no report: EOF",
        ),
        (
            "exec yes",
            20,
            "the analyzer wrote more than 67108864 bytes",
        ),
        (
            "exec yes >&2",
            1,
            "the analyzer was killed: it took longer than 1 seconds",
        ),
        (
            "exec sleep 1000",
            1,
            "the analyzer was killed: it took longer than 1 seconds",
        ),
        (
            "say boom | sed 's/0001/XXXX/'",
            20,
            "the report's signature hash is not 64",
        ),
    ];
    for (script, seconds, expected) in cases {
        let (given, daemon, dump) = failing(script, seconds).await;
        let error = dump.summary.analysis_error.unwrap();
        assert!(error.starts_with(expected), "{script}: {error}");
        assert_eq!(dump.summary.status, DumpStatus::Failed, "{script}");
        let attempts = fs::read_to_string(given.directory.path().join("attempts")).unwrap();
        if !script.starts_with("say") {
            assert_eq!(attempts.lines().count(), 2, "{script}");
            assert!(dump.summary.group.is_some(), "{script}");
            assert!(
                dump.report.unwrap().warnings[0].contains(&error),
                "{script}"
            );
            assert_eq!(daemon.status().worker_failures, 2, "{script}");
        }
        daemon.shutdown().await;
    }
}

/// Writes two drafts; the latter counts.
const DRAFTS: &str = r#"draft() { say "$1" 5 | sed 's/^{"report"://; s/"warnings":\[\]}}/"partial":{"missing":"names"},"warnings":[]}/'; printf '\036'; }
    draft early; draft "write in server+0x10";"#;

#[tokio::test(flavor = "multi_thread")]
async fn of_a_stopped_worker_the_latest_draft_is_kept_and_says_so() {
    let cases = [
        ("exec sleep 1000", 1, "it took longer than 1 seconds"),
        ("kill -XCPU $$", 20, "it took longer than 20 seconds"),
        (
            "kill -SYS $$",
            20,
            "the analyzer failed (signal: 31 (SIGSYS))",
        ),
        (
            "echo memory allocation of 8 bytes failed >&2; kill -ABRT $$",
            20,
            "it needed more than 4294967296 bytes of memory",
        ),
        ("printf '{\"cut\":'", 20, "something that is no report"),
        ("exec yes", 20, "wrote more than 67108864 bytes"),
    ];
    for (end, seconds, reason) in cases {
        let (_given, daemon, dump) = failing(&format!("{DRAFTS} {end}"), seconds).await;
        let error = dump.summary.analysis_error.unwrap();
        assert!(error.contains(reason), "{end}: {error}");
        assert_eq!(dump.summary.status, DumpStatus::Failed, "{end}");
        assert_eq!(
            dump.summary.title.as_deref(),
            Some("write in server+0x10"),
            "{end}"
        );
        assert!(dump.summary.group.unwrap().ends_with("00"), "{end}");
        let report = dump.report.unwrap();
        let partial = report.partial.unwrap();
        assert_eq!(
            (partial.missing.as_str(), &partial.reason),
            ("names", &error)
        );
        let warning = &report.warnings[0];
        assert!(
            warning.starts_with("The analysis was stopped, so this lacks names: ")
                && warning.contains(reason),
            "{end}: {warning}"
        );
        daemon.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_that_is_none_or_a_whole_report_is_not_taken_for_one() {
    for draft in ["say whole", "echo '{}'", "echo"] {
        let (_given, daemon, dump) = failing(&format!("{draft}; printf '\\036'; exit 1"), 20).await;
        assert_eq!(
            dump.summary.title.as_deref(),
            Some("SIGSEGV in an unknown program"),
            "{draft}"
        );
        assert_eq!(dump.report.unwrap().partial, None, "{draft}");
        daemon.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_time_is_over_is_gone() {
    let (given, daemon, _) = failing(r#"echo $$ > "${0%/*}/pid"; exec sleep 1000"#, 1).await;
    gone(given.directory.path());
    daemon.shutdown().await;
}

#[track_caller]
fn gone(directory: &Path) {
    let pid = fs::read_to_string(directory.join("pid")).unwrap();
    let process = Path::new("/proc").join(pid.trim());
    eventually("the end of the worker", || {
        (!process.exists()).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn crashes_are_grouped_though_no_analyzer_works() {
    let given = Given::analyzer("exit 1");
    let id = given.crash(1);
    let daemon = given.start().await;
    let dump = concluded(&daemon, &id);
    assert_eq!(dump.summary.status, DumpStatus::Failed);
    assert!(dump.summary.group.is_some());
    assert_eq!(daemon.status().store.failed, 1);
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_analyzer_crashes_wait() {
    let mut given = Given::analyzer("say boom");
    let analyzer = given
        .config
        .analyzer
        .replace("/nowhere/aground-analyzer".into())
        .unwrap();
    let id = given.crash(1);
    let daemon = given.start().await;
    eventually("an attempt", || {
        (daemon.status().store.pending == 1).then_some(())
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        daemon.store().dump(&id).unwrap().summary.status,
        DumpStatus::Pending
    );
    daemon.shutdown().await;
    drop(daemon);
    given.config.analyzer = Some(analyzer);
    let daemon = given.start().await;
    assert_eq!(concluded(&daemon, &id).summary.status, DumpStatus::Analyzed);
    daemon.shutdown().await;
}

/// A worker that hangs until a file appears.
const PATIENT: &str =
    r#"echo $$ > "${0%/*}/pid"; while [ ! -e "${0%/*}/go" ]; do sleep 0.05; done; say boom"#;

fn analyzing(daemon: &Daemon) {
    eventually("an analysis under way", || {
        (!daemon.status().analyzing.is_empty()).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_analysis_ends_the_worker_and_keeps_the_job() {
    let given = Given::analyzer(PATIENT);
    let id = given.crash(1);
    let daemon = given.start().await;
    analyzing(&daemon);
    eventually("the worker's start", || {
        let pid = fs::read_to_string(given.directory.path().join("pid"));
        pid.is_ok_and(|pid| pid.ends_with('\n')).then_some(())
    });
    daemon.shutdown().await;
    gone(given.directory.path());
    assert_eq!(
        daemon.store().dump(&id).unwrap().summary.status,
        DumpStatus::Pending
    );
    let job = daemon.store().lease_job(-1).unwrap().unwrap();
    assert_eq!(
        (job.id, job.attempts),
        (id, 1),
        "the attempt that was stopped does not count"
    );
}

#[test]
fn a_daemon_that_is_killed_during_analysis_goes_on_after_its_restart() {
    let given = Given::analyzer(PATIENT);
    let id = given.crash(1);
    let first = tokio::runtime::Runtime::new().unwrap();
    let daemon = first.block_on(given.start());
    analyzing(&daemon);
    // Nothing gets to run after this, as with kill -9.
    first.shutdown_background();
    let store = daemon.store().clone();
    assert_eq!(
        store.dump(&id).unwrap().summary.status,
        DumpStatus::Analyzing
    );
    drop((daemon, store));

    fs::write(given.directory.path().join("go"), b"").unwrap();
    let second = tokio::runtime::Runtime::new().unwrap();
    let daemon = eventually("the release of the state directory", || {
        second.block_on(Daemon::start(given.config.clone())).ok()
    });
    let dump = concluded(&daemon, &id);
    assert_eq!(
        (dump.summary.status, dump.summary.title.as_deref()),
        (DumpStatus::Analyzed, Some("boom"))
    );
    second.block_on(daemon.shutdown());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_removed_during_its_analysis_stays_removed() {
    let given = Given::analyzer(PATIENT);
    let id = given.crash(1);
    let daemon = given.start().await;
    analyzing(&daemon);
    daemon.remove_dump(&id).unwrap();
    fs::write(given.directory.path().join("go"), b"").unwrap();
    eventually("the end of the analysis", || {
        daemon.status().analyzing.is_empty().then_some(())
    });
    assert_eq!(daemon.status().store.dumps, 0);
    assert_eq!(names(&given.state("dumps")), [""; 0]);
    // The queue goes on.
    let next = given.crash(2);
    assert_eq!(
        concluded(&daemon, &next).summary.status,
        DumpStatus::Analyzed
    );
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_can_be_analysed_again() {
    let given = Given::analyzer(r#"say "$(cat "${0%/*}/title" 2>/dev/null || echo old)""#);
    let id = given.crash(1);
    let daemon = given.start().await;
    assert_eq!(
        concluded(&daemon, &id).summary.title.as_deref(),
        Some("old")
    );
    fs::write(given.directory.path().join("title"), b"new").unwrap();
    daemon.reanalyze(&id).unwrap();
    eventually("the new title", || {
        (daemon.store().dump(&id).unwrap().summary.title? == "new").then_some(())
    });
    assert_eq!(daemon.status().store.dumps, 1);
    assert!(daemon.reanalyze(&crate::given::id(9)).is_err());
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_during_an_analysis_is_not_lost() {
    let given = Given::analyzer(&PATIENT.replace(
        "say boom",
        r#"echo >> "${0%/*}/runs"; say "run $(wc -l < "${0%/*}/runs")""#,
    ));
    let id = given.crash(1);
    let daemon = given.start().await;
    analyzing(&daemon);
    daemon.reanalyze(&id).unwrap();
    daemon.reanalyze(&id).unwrap();
    fs::write(given.directory.path().join("go"), b"").unwrap();
    let ended = || {
        let dump = daemon.store().dump(&id).ok()?;
        (dump.report?.revision >= 2 && dump.summary.status == DumpStatus::Analyzed)
            .then_some(dump.summary.title)
    };
    let title = eventually("the second analysis", ended);
    assert_eq!(title.as_deref(), Some("run 2"), "and no third");
    assert_eq!(daemon.status().store.pending, 0);
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_workers_work_at_the_same_time() {
    let mut given = Given::analyzer(PATIENT);
    given.config.workers = 3;
    let ids: Vec<_> = (1..=5).map(|number| given.crash(number)).collect();
    let daemon = given.start().await;
    eventually("three at work", || {
        (daemon.status().analyzing.len() == 3).then_some(())
    });
    fs::write(given.directory.path().join("go"), b"").unwrap();
    for id in &ids {
        assert_eq!(concluded(&daemon, id).summary.status, DumpStatus::Analyzed);
    }
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crashes_without_memory_are_grouped_without_a_worker() {
    let given = Given::analyzer("exit 1");
    // More than are concluded together; one has its memory, and its worker fails.
    let ids: Vec<_> = (1..=70)
        .map(|number| {
            let mut record = record(number);
            let entry = given.state("spool/ready").join(record.id.as_str());
            if number != 40 {
                record.capture.kept = Kept::None;
            }
            write_entry(&entry, &record);
            if number != 40 {
                fs::remove_file(entry.join("core.zst")).unwrap();
            }
            record.id
        })
        .collect();
    let daemon = given.start().await;
    for (number, id) in (1..).zip(&ids) {
        let dump = concluded(&daemon, id);
        let expected = match number {
            40 => DumpStatus::Failed,
            _ => DumpStatus::Analyzed,
        };
        assert_eq!(dump.summary.status, expected, "{number}");
        assert_eq!(dump.report.map(|report| report.revision), Some(1));
    }
    let status = daemon.status().store;
    assert_eq!((status.dumps, status.groups, status.pending), (70, 1, 0));
    daemon.shutdown().await;
}

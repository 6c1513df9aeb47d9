//! Every page in a real Chromium, full of hostile texts: at the widths of a phone and of a desk, in
//! light and in dark. No script of a container runs, nothing is wider than the window, the browser
//! has nothing to complain about, and axe-core finds nothing serious.
//!
//! With `AGROUND_SCREENSHOTS=DIR` every page is also photographed.

use crate::hostile::{self, Malice, SCRIPT};
use crate::site::{Site, record as innocent};
use aground_analyzer::describe::Description;
use aground_store::access::{NewToken, Role, Scope};
use aground_store::lifecycle::{Actor, Change, Evidence, Verdict};
use aground_store::symbols::{Source, SymbolFile};
use aground_testkit::browser::Chromedriver;
use aground_testkit::house::root;
use aground_testkit::run::finish;
use aground_testkit::visitor::Visitor;
use aground_web::router;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

/// Crashes whose texts are hostile, one that has no report, and one whose memory was dropped.
async fn hostile_site() -> Site {
    let now = jiff::Timestamp::now().as_millisecond();
    let malices = [Malice::Script, Malice::Invisible, Malice::Long];
    let mut records: Vec<_> = malices
        .into_iter()
        .zip([0x11, 0x22, 0x33])
        .map(|(malice, number)| hostile::record(number, malice, now - 60_000))
        .collect();
    records.push(hostile::record(0x44, Malice::Script, now - 120_000));
    records.push(innocent(5));
    let site = Site::with(&records).await;
    let store = site.app.daemon.store();
    for (record, (malice, title)) in records
        .iter()
        .zip(malices.into_iter().zip(["one", "three", "fourteen"]))
    {
        store
            .save_report(&record.id, &hostile::report(malice, title))
            .unwrap();
    }
    store
        .save_report(&records[3].id, &hostile::report(Malice::Script, "one"))
        .unwrap();
    store.drop_memory(&records[3].id, SCRIPT).unwrap();
    decide(&site, records[0].id.as_str());
    let description = Description {
        build_id: "abcd1234".to_owned(),
        debug: SCRIPT.to_owned(),
        ..Description::default()
    };
    let file = SymbolFile::new(description, SCRIPT, Source::Uploaded, 1, 0);
    let from = store.state_dir().join("file");
    std::fs::write(&from, "x").unwrap();
    store.keep_symbols(&from, &file).unwrap();
    for scope in [vec![], vec![format!("label=k={}", Malice::Long.text())]] {
        let new = NewToken {
            name: None,
            role: Role::Read,
            scope: Scope::new(scope).unwrap(),
            expires_at_ms: Some(1),
        };
        store.create_token(new).unwrap();
    }
    store
        .save_search(
            "saved",
            &format!("command:\"{}\"", SCRIPT.replace('"', "\\\"")),
        )
        .unwrap();
    site
}

/// Everything that people can say of a group, hostile too.
fn decide(site: &Site, dump: &str) {
    let store = site.app.daemon.store();
    let id = store.resolve_dump(dump).unwrap();
    let group = store.dump(&id).unwrap().summary.group.unwrap();
    let by = Actor {
        uid: None,
        name: SCRIPT.to_owned(),
        via: "page".to_owned(),
    };
    let text = || format!("{SCRIPT}\n{}", Malice::Long.text());
    let change = |change| store.change_group(&by, &group, change).unwrap();
    change(Change::Tag { tag: SCRIPT.into() });
    change(Change::Ticket {
        ticket: "javascript:owned=1".into(),
    });
    change(Change::Ticket {
        ticket: format!("https://bugs.example/{SCRIPT}"),
    });
    change(Change::Owner {
        owner: Some(SCRIPT.into()),
    });
    change(Change::Note { text: text() });
    let theory = change(Change::Theory { text: text() })
        .entry
        .unwrap()
        .sequence;
    for evidence in [
        Evidence::Dump(id.clone()),
        Evidence::Note(text()),
        Evidence::Link(format!("https://bugs.example/{SCRIPT}")),
    ] {
        change(Change::Evidence { theory, evidence });
    }
    change(Change::Verdict {
        theory,
        verdict: Verdict::Proven,
        why: Some(text()),
    });
}

/// Serves the site where a browser can reach it; returns its address.
async fn serve(site: &Site) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = axum::serve(listener, router(site.app.clone()));
    tokio::spawn(async move { service.await });
    format!("http://{address}")
}

/// Every page there is, with a name for its picture.
fn pages(site: &Site) -> Vec<(String, String)> {
    let store = site.app.daemon.store();
    let mut pages = vec![];
    let mut add = |name: &str, path: &str| pages.push((name.to_owned(), path.to_owned()));
    let encoded: Vec<String> = SCRIPT.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let evil = encoded.concat();
    add("overview", "/");
    add("overview-30d", "/?window=30d");
    add("groups", "/groups");
    add("groups-none", &format!("/groups?query={evil}"));
    add("crashes", "/dumps");
    add("crashes-none", "/dumps?query=nothing");
    for (name, dump) in [
        ("script", "11"),
        ("invisible", "22"),
        ("long", "33"),
        ("gone", "44"),
        ("failed", "55"),
    ] {
        add(&format!("crash-{name}"), &format!("/dumps/{dump}"));
        let id = store.resolve_dump(dump).unwrap();
        if let Some(group) = store.dump(&id).unwrap().summary.group
            && name != "gone"
        {
            add(&format!("group-{name}"), &format!("/groups/{group}"));
        }
    }
    let group = |dump: &str| {
        let id = store.resolve_dump(dump).unwrap();
        store.dump(&id).unwrap().summary.group.unwrap()
    };
    let beside = format!("/groups/{}/diff/{}", group("11"), group("33"));
    add("sign-in", "/sign-in");
    add("groups-beside", &beside);
    add("proposals", "/groups/proposals");
    add("try-rules", "/groups/try");
    add("compare", "/compare?a=11&b=22");
    add("compare-long", "/compare?a=33&b=55");
    add("compare-which", "/compare");
    add("images", "/images");
    add("hosts", "/hosts");
    add("symbols", "/symbols");
    add("report", "/report?by=host,image,label:k");
    add("investigations", "/investigations");
    add("settings", "/settings");
    add("status", "/status");
    add("tokens", "/tokens");
    add("audit", "/audit");
    add("import", "/import");
    add("no-such-page", &format!("/nowhere/{evil}"));
    add("bad-search", &format!("/groups?query={evil}:x"));
    add("no-such-crash", "/dumps/ffff");
    pages
}

fn axe() -> String {
    let path = finish(&mut Command::new(root().join("tests/axe"))).ok();
    std::fs::read_to_string(path.trim()).unwrap()
}

/// What is wrong with the page that the visitor sees.
fn wrongs(visitor: &Visitor, axe: &str) -> Vec<String> {
    let mut wrongs = vec![];
    let owned = "typeof owned !== 'undefined' || document.title === 'owned'";
    if visitor.value(owned) != json!(false) {
        wrongs.push("a container's script ran".to_owned());
    }
    let scripts = "document.scripts.length";
    if visitor.value(scripts) != json!(2) {
        wrongs.push("there are scripts that are not ours".to_owned());
    }
    // What sticks out most, when something does.
    let wide = "(() => { const most = document.documentElement.clientWidth;
        if (document.documentElement.scrollWidth <= most) return '';
        const outside = [...document.querySelectorAll('body *')].filter((e) =>
            e.getBoundingClientRect().right > most + 1 && !e.closest('.scroll'));
        return `${document.documentElement.scrollWidth} px wide of ${most}: ` +
            outside.slice(0, 4).map((e) => e.outerHTML.slice(0, 120)).join(' | '); })()";
    if let Some(wide) = visitor.value(wide).as_str().filter(|wide| !wide.is_empty()) {
        wrongs.push(wide.to_owned());
    }
    // A page that says what is not there is not there itself.
    let complaints = visitor.complaints().into_iter();
    wrongs.extend(
        complaints.filter(|text| !text.contains("the server responded with a status of 4")),
    );
    wrongs.extend(inaccessible(visitor, axe));
    wrongs
}

/// What axe-core finds serious or worse.
fn inaccessible(visitor: &Visitor, axe: &str) -> Vec<String> {
    let script = format!(
        "{axe}; const done = arguments[arguments.length - 1];
        axe.run({{ resultTypes: ['violations'] }}).then((found) => done(found.violations
            .filter((v) => v.impact === 'serious' || v.impact === 'critical')
            .map((v) => `${{v.impact}}: ${{v.id}}: ${{v.help}}: ` +
                v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + ' ' + (n.any[0]?.message ?? '')).join(' | '))),
            (error) => done([String(error)]))"
    );
    let found = visitor.command("execute/async", &json!({ "script": script, "args": [] }));
    let found = found.as_array().expect("findings").iter();
    found
        .map(|text| text.as_str().unwrap_or_default().to_owned())
        .collect()
}

async fn walk(width: u32, dark: bool) {
    let site = hostile_site().await;
    let base = serve(&site).await;
    let pages = pages(&site);
    let look = format!("{width}-{}", if dark { "dark" } else { "light" });
    let visit = move || {
        let (driver, axe) = (Chromedriver::start(), axe());
        let visitor = Visitor::new(&driver, true);
        visitor.look(width, dark);
        let pictures = std::env::var_os("AGROUND_SCREENSHOTS").map(PathBuf::from);
        let mut wrong = vec![];
        for (name, path) in pages {
            visitor.open(&format!("{base}{path}"));
            let found = wrongs(&visitor, &axe);
            wrong.extend(
                found
                    .into_iter()
                    .map(|what| format!("{path} at {look}: {what}")),
            );
            if let Some(directory) = &pictures {
                std::fs::create_dir_all(directory).unwrap();
                visitor.photograph(&directory.join(format!("{name}-{look}.png")));
            }
        }
        wrong
    };
    let wrong = tokio::task::spawn_blocking(visit).await.unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn narrow_and_light() {
    walk(390, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn narrow_and_dark() {
    walk(390, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wide_and_light() {
    walk(1440, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wide_and_dark() {
    walk(1440, true).await;
}

/// Asks until the page answers so.
fn becomes(visitor: &Visitor, expression: &str, expected: &Value) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    loop {
        let value = visitor.value(expression);
        if value == *expected {
            return;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{expression} is {value}"
        );
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_links_themes_and_news_work() {
    let site = hostile_site().await;
    let base = serve(&site).await;
    let doomed = site.app.daemon.store().resolve_dump("44").unwrap();
    let daemon = site.app.daemon.clone();
    let visit = move || {
        let driver = Chromedriver::start();
        let visitor = Visitor::new(&driver, true);
        visitor.look(1440, false);
        visitor.open(&format!("{base}/dumps"));
        let row = "document.activeElement?.getAttribute('href') ?? ''";
        visitor.press("j");
        let first = visitor.value(row);
        visitor.press("j");
        assert_ne!(visitor.value(row), first, "j goes on");
        visitor.press("k");
        assert_eq!(visitor.value(row), first, "k goes back");
        visitor.press("?");
        assert_eq!(
            visitor.value("document.querySelector('#keys').open"),
            json!(true)
        );
        visitor.press("\u{e00c}");
        assert_eq!(
            visitor.value("document.querySelector('#keys').open"),
            json!(false)
        );
        visitor.press("/");
        assert_eq!(visitor.value("document.activeElement.id"), json!("search"));

        // What happens is seen without a reload.
        visitor.value("(window.mark = 1)");
        let rows = "document.querySelectorAll('a.id').length";
        assert_eq!(visitor.value(rows), json!(5));
        daemon.remove_dump(&doomed).unwrap();
        becomes(&visitor, rows, &json!(4));
        assert_eq!(visitor.value("window.mark"), json!(1), "it was loaded anew");

        // A link leads to its thread, folded or not, and to its frame.
        visitor.open(&format!("{base}/dumps/11#t2-1"));
        becomes(
            &visitor,
            "document.querySelector(':target').closest('details').open",
            &json!(true),
        );

        let back = "getComputedStyle(document.documentElement).colorScheme";
        assert_eq!(visitor.value(back), json!("light dark"));
        visitor.value("document.querySelector('.theme button').click()");
        becomes(&visitor, back, &json!("dark"));
        visitor.open(&format!("{base}/status"));
        assert_eq!(visitor.value(back), json!("dark"), "the choice is kept");
        assert_eq!(visitor.complaints(), [""; 0]);
    };
    tokio::task::spawn_blocking(visit).await.unwrap();
}

/// Who signs in with a small token is told what it lacks; and what to do first.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_little_is_told_so() {
    let site = crate::access::guarded(&[innocent(5)], crate::access::unlimited()).await;
    let secret = site.token("ann", Role::Read, &[], None);
    let base = serve(&site).await;
    let empty = Site::with(&[]).await;
    let first = serve(&empty).await;
    let visit = move || {
        let (driver, axe) = (Chromedriver::start(), axe());
        let visitor = Visitor::new(&driver, true);
        let shows = |text: &str| {
            let text = json!(text);
            visitor.value(&format!("document.body.innerText.includes({text})")) == json!(true)
        };
        visitor.look(1440, false);
        visitor.open(&format!("{base}/settings"));
        assert!(shows("Access token"), "it leads to where one signs in");
        visitor.press(&secret);
        visitor.press("\u{e007}");
        becomes(&visitor, "location.pathname", &json!("/settings"));
        assert!(shows("This needs the role admin, and yours is read."));
        let pictures = std::env::var_os("AGROUND_SCREENSHOTS").map(PathBuf::from);
        for (width, dark) in [(390, false), (390, true), (1440, false), (1440, true)] {
            visitor.look(width, dark);
            for (name, page) in [
                ("not-permitted", format!("{base}/settings")),
                ("crash-of-reader", format!("{base}/dumps/55")),
                ("first-steps", format!("{first}/")),
                ("no-crash-yet", format!("{first}/dumps")),
            ] {
                visitor.open(&page);
                let wrong = wrongs(&visitor, &axe);
                assert!(
                    wrong.is_empty(),
                    "{page} at {width}, dark {dark}: {wrong:?}"
                );
                if let Some(directory) = &pictures {
                    let look = if dark { "dark" } else { "light" };
                    std::fs::create_dir_all(directory).unwrap();
                    visitor.photograph(&directory.join(format!("{name}-{width}-{look}.png")));
                }
            }
        }
    };
    tokio::task::spawn_blocking(visit).await.unwrap();
}

/// Without JavaScript there is everything but the keys.
#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_without_scripts() {
    let site = hostile_site().await;
    let base = serve(&site).await;
    let visit = move || {
        let driver = Chromedriver::start();
        let visitor = Visitor::new(&driver, false);
        visitor.look(390, false);
        let shown = |css: &str| {
            let expression =
                format!("[...document.querySelectorAll('{css}')].some((e) => e.checkVisibility())");
            visitor.value(&expression) == json!(true)
        };
        visitor.open(&format!("{base}/"));
        assert!(
            !shown("[data-keys]") && !shown("#live"),
            "what needs scripts is offered"
        );
        visitor.open(&format!("{base}/dumps/11"));
        assert!(!shown("[data-copy]") && shown("a[href$=\"/text\"]"));
        assert!(shown("#stack .sys"));
        visitor.value("document.querySelector('#app-crashed').click()");
        assert!(!shown("#stack .sys") && shown("#stack .app"));
        visitor.value("document.querySelector('.theme button').click()");
        let look = "getComputedStyle(document.documentElement).colorScheme";
        becomes(&visitor, look, &json!("dark"));
        assert!(shown("#stack"), "the theme's button leads back to the page");
    };
    tokio::task::spawn_blocking(visit).await.unwrap();
}

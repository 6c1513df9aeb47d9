//! Who gets what: every route, and everybody who should not get in.

use crate::site::{Answer, MODULE_SHA256, Site, record};
use aground_helper::record::Record;
use aground_store::access::{NewToken, Role, Scope};
use aground_web::App;
use aground_web::access::Gate;
use aground_web::access::limits::Limits;
use aground_web::access::sessions::Sessions;
use axum::http::{Method, StatusCode};
use serde_json::Value;
use std::time::Duration;

/// A crash that the scopes below do not let through.
fn hidden() -> Record {
    let mut record = record(2);
    "hidden-host".clone_into(&mut record.host.hostname);
    let container = record.container.as_mut().unwrap();
    container.name = Some("hidden-name".to_owned());
    container.image = Some("hidden-image:1".to_owned());
    container.labels = [("team".to_owned(), "hidden-team".to_owned())].into();
    record
}

/// A site where tokens are needed.
pub async fn guarded(records: &[Record], requests: Limits) -> Site {
    let mut site = Site::with(records).await;
    for record in records {
        site.report(record, "write to 0x0");
    }
    let hour = Duration::from_hours(1);
    let gate = Gate::new(true, false, Sessions::new(hour, hour, false), requests);
    site.app = App::behind(site.app.daemon.clone(), gate);
    site
}

/// No limit of requests.
pub fn unlimited() -> Limits {
    Limits::new(0.0, 0)
}

impl Site {
    /// The group that the dump of [`record`] 1 is in.
    pub fn group(&self) -> String {
        let store = self.app.daemon.store();
        let dump = store.dump(&record(1).id).unwrap();
        dump.summary.group.unwrap()
    }

    /// The secret of a new token.
    pub fn token(
        &self,
        name: &str,
        role: Role,
        scope: &[&str],
        expires_at_ms: Option<i64>,
    ) -> String {
        let new = NewToken {
            name: Some(name.to_owned()),
            role,
            scope: Scope::new(scope.iter().map(ToString::to_string).collect()).unwrap(),
            expires_at_ms,
        };
        self.app.daemon.store().create_token(new).unwrap().1
    }

    /// A request that shows a token.
    pub async fn by(&self, token: &str, method: Method, target: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let headers = if token.is_empty() { &[][..] } else { &headers };
        self.send(method, target, headers).await
    }
}

fn check_problem(answer: &Answer, status: u16, what: &str) {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status.as_u16(), status, "{what}: {text}");
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{what}: {text}"
    );
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{what}");
    assert_eq!(problem["type"], "about:blank", "{what}");
    assert!(
        problem["detail"].as_str().unwrap().len() > 5,
        "{what}: {problem}"
    );
    if status == 401 {
        assert!(
            answer.header("www-authenticate").starts_with("Bearer"),
            "{what}"
        );
    }
}

/// A path of a route that names the dump and the group.
pub fn filled(path: &str, dump: &str, group: &str) -> String {
    let reference = if path.contains("/groups/") {
        group
    } else {
        dump
    };
    path.replace("{ref}", reference)
        .replace("{other}", group)
        .replace("{sha256}", MODULE_SHA256)
        .replace("{build_id}", "abcd")
        .replace("{key}", "k")
        .replace("{name}", "n")
        .replace("{*path}", "nothing")
}

#[tokio::test]
async fn every_route_refuses_everybody_who_may_not() {
    let site = guarded(&[record(1)], unlimited()).await;
    let revoked = site.token("revoked", Role::Admin, &[], None);
    site.app.daemon.store().remove_token("revoked").unwrap();
    let strangers = [
        ("none", String::new()),
        ("expired", site.token("expired", Role::Admin, &[], Some(1))),
        ("revoked", revoked),
    ];
    let read = site.token("read", Role::Read, &[], None);
    let debug = site.token("debug", Role::Debug, &[], None);
    let scoped = site.token("scoped", Role::Admin, &["label=team=core"], None);
    let elsewhere = site.token("elsewhere", Role::Admin, &["label=team=nobody"], None);
    let (dump, group) = (record(1).id.to_string(), site.group());
    let mut checked = 0;
    for route in aground_web::routes::all() {
        let Some(least) = route.needs.role else {
            continue;
        };
        let target = filled(route.path, &dump, &group);
        let method = route.method.clone();
        for (who, token) in &strangers {
            let what = format!("{method} {target} by {who}");
            // Wrong tokens are limited, too: see below.
            site.app.gate.failures.forget();
            check_problem(&site.by(token, method.clone(), &target).await, 401, &what);
            checked += 1;
        }
        for (role, token) in [(Role::Read, &read), (Role::Debug, &debug)] {
            if role < least {
                let what = format!("{method} {target} by {role}");
                check_problem(&site.by(token, method.clone(), &target).await, 403, &what);
                checked += 1;
            }
        }
        let what = format!("{method} {target} out of scope");
        if route.needs.whole {
            for token in [&scoped, &elsewhere] {
                check_problem(&site.by(token, method.clone(), &target).await, 403, &what);
            }
        } else if route.path.contains("{ref}") {
            let answer = site.by(&elsewhere, method.clone(), &target).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{what}");
            if target.starts_with("/api/") {
                check_problem(&answer, 404, &what);
            }
            checked += 1;
        }
    }
    assert!(checked > 250, "{checked}");
    // Nothing of all that did anything.
    let left = site
        .by(&read, Method::GET, &format!("/api/v1/dumps/{dump}"))
        .await;
    assert_eq!(left.status, StatusCode::OK);
    assert_eq!(left.json()["summary"]["pinned"], false);
}

#[tokio::test]
async fn who_may_gets_an_answer_and_the_open_address_asks_nobody() {
    let site = guarded(&[record(1)], unlimited()).await;
    let scoped = site.token("scoped", Role::Debug, &["label=team=core"], None);
    let basic = "Basic Z2RiOg==";
    assert_eq!(site.get("/healthz").await.status, StatusCode::OK);
    for target in [
        "/groups",
        "/dumps",
        "/report",
        "/hosts",
        "/api/v1/dumps/11/core",
        "/api/v1/groups",
    ] {
        let answer = site.by(&scoped, Method::GET, target).await;
        assert_eq!(answer.status, StatusCode::OK, "{target}");
    }
    let answer = site
        .send(Method::GET, "/dumps", &[("authorization", basic)])
        .await;
    check_problem(&answer, 401, "an empty password");
    // A person is led to the page to sign in, and back.
    let answer = site
        .send(Method::GET, "/dumps?query=a", &[("accept", "text/html")])
        .await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(
        answer.header("location"),
        "/sign-in?next=%2Fdumps%3Fquery%3Da"
    );

    let open = Site::with(&[record(1)]).await;
    assert_eq!(
        open.get("/api/v1/dumps/11/core").await.status,
        StatusCode::OK
    );
    // Who shows a token there is no more than its bearer.
    let read = open.token("read", Role::Read, &[], None);
    let answer = open.by(&read, Method::GET, "/api/v1/dumps/11/core").await;
    check_problem(&answer, 403, "core by read");
    check_problem(
        &open.by("nonsense", Method::GET, "/dumps").await,
        401,
        "wrong token",
    );
}

#[tokio::test]
async fn what_is_out_of_scope_is_in_no_list_search_report_count_or_event() {
    let site = guarded(&[record(1), hidden()], unlimited()).await;
    let all = site.token("all", Role::Admin, &[], None);
    let some = site.token(
        "some",
        Role::Debug,
        &["image=shop", "label=team=core"],
        None,
    );
    let group = site.group();
    let mut shown = 0;
    for target in [
        "/api/v1/dumps",
        "/api/v1/dumps?query=host:hidden-host",
        "/api/v1/dumps/11",
        "/api/v1/groups",
        "/api/v1/groups?query=container:hidden-name",
        "/api/v1/groups/abab",
        "/api/v1/groups/abab/dumps",
        "/api/v1/groups/abab/seen",
        "/api/v1/report?by=image,container,label:team",
        "/api/v1/hosts",
        "/api/v1/events?since=2020-01-01&until=2100-01-01",
        "/groups",
        "/images",
        "/api/v1/images",
        "/dumps",
        "/dumps/11",
        "/groups/abab",
        "/report?by=host",
        "/hosts",
    ] {
        let target = &target.replace("abab", &group);
        let answer = if target.contains("events") {
            // It would go on for ever: what has been is told first.
            site.begin(&all, target).await
        } else {
            site.by(&all, Method::GET, target).await.body
        };
        let tells = |body: &[u8]| {
            let text = String::from_utf8_lossy(body).into_owned();
            let id = hidden().id.to_string();
            // A search shows what was searched for.
            let text = text.replace("query=host:hidden-host", "");
            (text.contains("hidden-") || text.contains(&id), text)
        };
        shown += usize::from(tells(&answer).0);
        let answer = if target.contains("events") {
            site.begin(&some, target).await
        } else {
            let answer = site.by(&some, Method::GET, target).await;
            assert_eq!(answer.status, StatusCode::OK, "{target}");
            answer.body
        };
        let (told, text) = tells(&answer);
        assert!(!told, "{target}: {text}");
    }
    assert!(shown >= 14, "what is hidden shows without a scope: {shown}");
    let count = async |token: &str| {
        let report = site
            .by(token, Method::GET, "/api/v1/report?by=signal")
            .await
            .json();
        let group = site
            .by(token, Method::GET, &format!("/api/v1/groups/{group}"))
            .await
            .json();
        (report["crashes"].as_u64(), group["count"].as_u64())
    };
    assert_eq!(count(&all).await, (Some(2), Some(2)));
    assert_eq!(count(&some).await, (Some(1), Some(1)));
}

#[tokio::test]
async fn memory_is_for_the_debug_role() {
    let mut secretive = record(1);
    secretive.process.environment = vec!["HOME=/secret-home".to_owned()];
    let site = guarded(&[secretive], unlimited()).await;
    let read = site.token("read", Role::Read, &[], None);
    let debug = site.token("debug", Role::Debug, &[], None);
    for target in ["/api/v1/dumps/11", "/api/v1/dumps/11/record", "/dumps/11"] {
        let text = |answer: Answer| String::from_utf8_lossy(&answer.body).into_owned();
        let seen = text(site.by(&debug, Method::GET, target).await);
        assert!(seen.contains("secret-home"), "{target}");
        let hidden = text(site.by(&read, Method::GET, target).await);
        assert!(
            !hidden.contains("secret-home") && !hidden.contains("starting"),
            "{target}"
        );
        assert!(
            hidden.contains("hidden: it needs the role debug"),
            "{target}: {hidden}"
        );
    }
    let refused = site
        .by(&read, Method::GET, "/api/v1/dumps?query=log:starting")
        .await;
    check_problem(&refused, 422, "words of logs");
}

#[tokio::test]
async fn takings_are_written_down() {
    let site = guarded(&[record(1)], unlimited()).await;
    let read = site.token("reader", Role::Read, &[], None);
    let debug = site.token("debugger", Role::Debug, &[], None);
    let admin = site.token("boss", Role::Admin, &[], None);
    site.by(&read, Method::GET, "/api/v1/dumps/11/core").await;
    site.by(&debug, Method::GET, "/api/v1/dumps/11/core?format=zst")
        .await;
    let module = format!("/api/v1/dumps/11/modules/{MODULE_SHA256}");
    site.by(&debug, Method::GET, &module).await;
    site.by(&debug, Method::GET, "/api/v1/dumps/77/core").await;
    site.by(&admin, Method::DELETE, "/api/v1/dumps/11").await;
    let audit = site.by(&admin, Method::GET, "/api/v1/audit").await.json();
    let id = record(1).id.to_string();
    let told: Vec<_> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            assert!(entry["at_ms"].as_i64().unwrap() > 0, "{entry}");
            assert_eq!(entry["dump"], id.as_str(), "{entry}");
            (
                entry["who"].as_str().unwrap(),
                entry["what"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("token boss", "remove"),
        ("token debugger", "module"),
        ("token debugger", "core"),
    ];
    assert_eq!(told, expected);
    assert_eq!(
        audit["items"][2]["request"],
        "GET /api/v1/dumps/11/core?format=zst"
    );
}

#[tokio::test]
async fn browsers_sign_in_with_a_token_and_out_again() {
    let site = guarded(&[record(1)], unlimited()).await;
    let token = site.token("ann", Role::Debug, &[], None);
    let sign_in = async |token: &str, next: &str| {
        let form = format!("token={token}&next={next}");
        site.post_form("/sign-in", &form, &[("sec-fetch-site", "same-origin")])
            .await
    };
    assert_eq!(sign_in("wrong", "").await.status, StatusCode::UNAUTHORIZED);
    let answer = sign_in(&token, "%2Fdumps").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.header("location"), "/dumps");
    let cookie = answer
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    assert!(!cookie.contains(&token));
    let page = site
        .send(Method::GET, "/dumps", &[("cookie", &cookie)])
        .await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        String::from_utf8_lossy(&page.body).contains("ann"),
        "the page says who"
    );

    let pin = "/api/v1/dumps/11/pin";
    let silent = site.send(Method::PUT, pin, &[("cookie", &cookie)]).await;
    check_problem(&silent, 403, "a browser that does not say whence");
    for (name, value, status) in [
        ("sec-fetch-site", "cross-site", 403),
        ("origin", "http://evil.example", 403),
        ("sec-fetch-site", "same-origin", 200),
        ("origin", "http://localhost", 200),
    ] {
        let answer = site
            .send(Method::PUT, pin, &[("cookie", &cookie), (name, value)])
            .await;
        assert_eq!(answer.status, status, "{name}: {value}");
    }

    let own = [
        ("cookie", cookie.as_str()),
        ("sec-fetch-site", "same-origin"),
    ];
    let out = site.send(Method::POST, "/sign-out", &own).await;
    assert_eq!(out.header("location"), "/sign-in");
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    let gone = site
        .send(Method::GET, "/dumps", &[("cookie", &cookie)])
        .await;
    check_problem(&gone, 401, "after signing out");

    let answer = sign_in(&token, "https%3A%2F%2Fevil.example").await;
    assert_eq!(answer.header("location"), "/");
    let cookie = answer
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    site.app.daemon.store().remove_token("ann").unwrap();
    let gone = site
        .send(Method::GET, "/dumps", &[("cookie", &cookie)])
        .await;
    check_problem(&gone, 401, "its token was removed");
}

#[tokio::test]
async fn guessing_and_flooding_are_slowed_down() {
    let site = guarded(&[record(1)], Limits::new(1.0, 5)).await;
    let token = site.token("ann", Role::Read, &[], None);
    let other = site.token("bob", Role::Read, &[], None);
    let mut statuses = vec![];
    for _ in 0..7 {
        statuses.push(site.by(&token, Method::GET, "/api/v1/dumps").await);
    }
    assert!(statuses.iter().take(5).all(|answer| answer.status == 200));
    let last = statuses.last().unwrap();
    check_problem(last, 429, "the seventh at once");
    assert!(last.header("retry-after").parse::<u64>().unwrap() >= 1);
    let answer = site.by(&other, Method::GET, "/api/v1/dumps").await;
    assert_eq!(answer.status, StatusCode::OK, "somebody else");

    let site = guarded(&[], unlimited()).await;
    let token = site.token("ann", Role::Read, &[], None);
    for _ in 0..10 {
        check_problem(
            &site.by("guess", Method::GET, "/dumps").await,
            401,
            "a guess",
        );
    }
    check_problem(
        &site.by("guess", Method::GET, "/dumps").await,
        429,
        "too many guesses",
    );
    // Nobody learns by then whether a guess was right.
    check_problem(
        &site.by(&token, Method::GET, "/dumps").await,
        429,
        "the right one",
    );
    let answer = site.post_form("/sign-in", "token=x", &[]).await;
    check_problem(&answer, 429, "sign-in");
}

#[tokio::test]
async fn tokens_are_made_listed_and_removed() {
    let site = guarded(&[record(1)], unlimited()).await;
    let admin = site.token("boss", Role::Admin, &[], None);
    let make = async |body: &str| {
        let bearer = format!("Bearer {admin}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        site.send_body(Method::POST, "/api/v1/tokens", &headers, body)
            .await
    };
    let made =
        make(r#"{"name":"ci","role":"read","scope":["namespace=prod"],"expires":"30d"}"#).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("aground_"));
    for wrong in [
        r#"{"role":"root"}"#,
        r#"{"role":"read","scope":["host=x"]}"#,
        r#"{"role":"read","expires":"soon"}"#,
        r#"{"role":"read","extra":1}"#,
        "{}",
    ] {
        check_problem(&make(wrong).await, 400, wrong);
    }
    check_problem(
        &make(r#"{"role":"read","name":"ci"}"#).await,
        422,
        "a name twice",
    );
    let listed = site.by(&admin, Method::GET, "/api/v1/tokens").await;
    let text = String::from_utf8_lossy(&listed.body).into_owned();
    assert!(!text.contains(secret.strip_prefix("aground_").unwrap()) && !text.contains("sha256"));
    let names: Vec<Value> = listed.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["name"].clone())
        .collect();
    assert_eq!(names, ["boss", "ci"]);
    assert_eq!(
        site.by(&secret, Method::GET, "/api/v1/dumps").await.json()["items"],
        serde_json::json!([])
    );
    let removed = site.by(&admin, Method::DELETE, "/api/v1/tokens/ci").await;
    assert_eq!(removed.json()["name"], "ci");
    check_problem(
        &site.by(&secret, Method::GET, "/api/v1/dumps").await,
        401,
        "removed",
    );
}

#[tokio::test]
async fn the_command_line_hands_out_tokens_and_tells_who_took_what() {
    let site = Site::with(&[record(1)]).await;
    let run = async |arguments: &[&str]| crate::site::ok(&site.aground(arguments).await);
    let secret = run(&[
        "token",
        "create",
        "--role",
        "read",
        "--name",
        "ci",
        "--label",
        "team=core",
        "--expires",
        "30d",
        "-q",
    ])
    .await;
    assert!(secret.starts_with("aground_"), "{secret}");
    let told = run(&["token", "create", "--role", "admin", "--name", "boss"]).await;
    assert!(
        told.starts_with("Token boss (admin, everything), shown this once:\naground_"),
        "{told}"
    );
    let listed = run(&["token", "ls", "--format", "{{.Name}} {{.Role}} {{.Scope}}"]).await;
    assert_eq!(listed, "ci read label=team=core\nboss admin everything\n");
    run(&["cp", "11", "-"]).await;
    let audit = run(&["audit", "--format", "{{.Who}} {{.What}} {{.Dump}}"]).await;
    assert!(
        audit.contains(&format!("somebody core {}", record(1).id)),
        "{audit}"
    );
    assert_eq!(run(&["token", "rm", "ci"]).await, "ci\n");
    let error = crate::site::failed(&site.aground(&["token", "rm", "ci"]).await, 1);
    assert_eq!(error, "aground: ci: no such token");
    let error = crate::site::failed(
        &site.aground(&["token", "create", "--role", "root"]).await,
        1,
    );
    assert_eq!(
        error,
        "aground: \"root\" is no role: there are read, debug, admin"
    );
}

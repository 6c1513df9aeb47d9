//! What pages offer to whom: nothing that the reader may not do; and what is refused is a page that
//! says what is needed, with a way back.

use crate::access::{filled, guarded, unlimited};
use crate::site::{Answer, Site, record};
use aground_store::access::Role;
use aground_web::access::route::{Needs, Route};
use axum::http::{Method, StatusCode};

/// Somebody with a token, as a browser that a script gave it.
struct Reader {
    name: &'static str,
    role: Role,
    scoped: bool,
    bearer: String,
}

impl Reader {
    fn may(&self, needs: Needs) -> bool {
        needs.role.is_none_or(|least| self.role >= least) && !(needs.whole && self.scoped)
    }

    async fn send(&self, site: &Site, method: Method, target: &str) -> Answer {
        let headers = [
            ("authorization", self.bearer.as_str()),
            ("accept", "text/html,*/*;q=0.8"),
            ("referer", "http://localhost/groups?window=7d"),
        ];
        site.send(method, target, &headers).await
    }
}

fn readers(site: &Site) -> Vec<Reader> {
    let all = [
        ("reader", Role::Read, false),
        ("debugger", Role::Debug, false),
        ("boss", Role::Admin, false),
        ("some-reader", Role::Read, true),
        ("some-debugger", Role::Debug, true),
        ("some-boss", Role::Admin, true),
    ];
    all.into_iter()
        .map(|(name, role, scoped)| {
            let scope: &[&str] = if scoped { &["label=team=core"] } else { &[] };
            let bearer = format!("Bearer {}", site.token(name, role, scope, None));
            Reader {
                name,
                role,
                scoped,
                bearer,
            }
        })
        .collect()
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// The route that answers: the one with the most words of its own.
fn route<'a>(routes: &'a [Route], method: &Method, target: &str) -> Option<&'a Route> {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let words = |path: &str| -> Vec<String> { path.split('/').map(str::to_owned).collect() };
    let asked = words(path);
    let fits = |route: &&Route| {
        let own = words(route.path);
        route.method == method
            && own.len() == asked.len()
            && own
                .iter()
                .zip(&asked)
                .all(|(own, asked)| own.starts_with('{') || own == asked)
    };
    let literal = |route: &&Route| !route.path.contains("{*");
    routes
        .iter()
        .filter(literal)
        .filter(fits)
        .min_by_key(|route| route.path.matches('{').count())
}

/// Where a page's links and forms lead, with the method.
fn offers(page: &str) -> Vec<(Method, String)> {
    let attribute = |tag: &str, name: &str| {
        let after = tag.split_once(&format!(" {name}=\""))?.1;
        Some(after.split_once('"')?.0.replace("&amp;", "&"))
    };
    let tags = page.split('<').filter_map(|rest| rest.split_once('>'));
    let offer = |(tag, _): (&str, &str)| {
        let (method, target) = if tag.starts_with("form ") {
            let post = attribute(tag, "method").as_deref() == Some("post");
            let method = if post { Method::POST } else { Method::GET };
            (method, attribute(tag, "action"))
        } else {
            let target = attribute(tag, "href").or(attribute(tag, "data-copy"));
            (Method::GET, target)
        };
        Some((method, target.filter(|target| target.starts_with('/'))?))
    };
    tags.filter_map(offer).collect()
}

#[tokio::test]
async fn pages_offer_what_their_reader_may_do_and_nothing_else() {
    let site = guarded(&[record(1), record(2)], unlimited()).await;
    site.app
        .daemon
        .store()
        .save_search("n", "image:shop*")
        .unwrap();
    let (dump, group) = (record(1).id.to_string(), site.group());
    let routes = aground_web::routes::all();
    let pages = routes.iter().filter(|route| {
        let machine = ["/api/", "/buildid/", "/static/"];
        route.method == Method::GET && !machine.iter().any(|top| route.path.starts_with(top))
    });
    let pages: Vec<&Route> = pages.collect();
    let (mut followed, mut refused) = (0, 0);
    for reader in readers(&site) {
        for page in &pages {
            let target = filled(page.path, &dump, &group);
            let answer = reader.send(&site, Method::GET, &target).await;
            let what = format!("{target} by {}: {}", reader.name, text(&answer));
            if !reader.may(page.needs) {
                check_refusal(&answer, page.needs, &reader, &target);
                refused += 1;
                continue;
            }
            assert!(
                !text(&answer).contains("Not permitted") && !answer.status.is_server_error(),
                "{what}"
            );
            for (method, offered) in offers(&text(&answer)) {
                let route = route(&routes, &method, &offered);
                let route = route.unwrap_or_else(|| panic!("{method} {offered} on {what}"));
                assert!(
                    reader.may(route.needs),
                    "{method} {offered} is offered on {what}"
                );
                followed += 1;
            }
        }
    }
    assert!(followed > 1000 && refused > 20, "{followed} {refused}");
}

/// A refusal says who was refused, what is needed and where to sign in.
fn check_refusal(answer: &Answer, needs: Needs, reader: &Reader, back: &str) {
    let page = text(answer);
    let what = format!("{back} by {}: {page}", reader.name);
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{what}");
    assert!(
        answer.header("content-type").starts_with("text/html"),
        "{what}"
    );
    let least = needs.role.unwrap();
    let said = if reader.role < least {
        format!("This needs the role {least}, and yours is {}.", reader.role)
    } else {
        "your token shows only those of label=team=core.".to_owned()
    };
    assert!(
        page.contains("Not permitted") && page.contains(&said),
        "{what}"
    );
    assert!(page.contains(reader.name), "{what}");
    let next = back.replace('/', "%2F").replace('?', "%3F");
    let next = next.replace('=', "%3D");
    assert!(
        page.contains(&format!("href=\"/sign-in?next={next}\"")),
        "{what}"
    );
}

#[tokio::test]
async fn a_form_that_is_refused_ends_in_a_page_with_a_way_back() {
    let site = guarded(&[record(1)], unlimited()).await;
    let (dump, group) = (record(1).id.to_string(), site.group());
    let back = "href=\"/groups?window=7d\"";
    let mut checked = 0;
    let forms: Vec<Route> = aground_web::ui::routes()
        .into_iter()
        .filter(|route| route.method == Method::POST && route.needs.role.is_some())
        .collect();
    for reader in readers(&site) {
        for form in forms.iter().filter(|form| !reader.may(form.needs)) {
            let target = filled(form.path, &dump, &group);
            let answer = reader.send(&site, Method::POST, &target).await;
            check_refusal(&answer, form.needs, &reader, "/groups?window=7d");
            assert!(text(&answer).contains(back), "{target}: {}", text(&answer));
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked}");
    for form in &forms {
        let target = filled(form.path, &dump, &group);
        let html = ("accept", "text/html");
        let from = ("referer", "http://localhost/groups?window=7d");
        let own = ("sec-fetch-site", "same-origin");
        let ended = [html, from, own, ("cookie", "aground=00")];
        let answer = site.send(Method::POST, &target, &ended).await;
        let page = text(&answer);
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{target}: {page}");
        for said in [
            "You are not signed in",
            "Your session has ended",
            "Nothing was changed",
            "href=\"/sign-in?next=%2Fgroups%3Fwindow%3D7d\"",
            back,
        ] {
            assert!(page.contains(said), "{target}: {said}: {page}");
        }
        let foreign = [html, ("sec-fetch-site", "cross-site")];
        let answer = site.send(Method::POST, &target, &foreign).await;
        let page = text(&answer);
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{target}: {page}");
        assert!(page.contains("not sent from a page of ours"), "{page}");
        assert!(page.contains("href=\"/groups\""), "a way back: {page}");
    }
    // Programs, and whoever asks the API, read a problem.
    for headers in [&[][..], &[("accept", "application/json")]] {
        let answer = site.send(Method::POST, "/symbols/fetch", headers).await;
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let html = [("accept", "text/html")];
    let answer = site.send(Method::GET, "/api/v1/dumps", &html).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.header("content-type"), "application/problem+json");
}

#[tokio::test]
async fn what_a_reader_may_not_see_is_said_to_need_a_role() {
    let mut secretive = record(1);
    secretive.process.environment = vec!["HOME=/secret-home".to_owned()];
    let site = guarded(&[secretive], unlimited()).await;
    let readers = readers(&site);
    let page = async |name: &str| {
        let reader = readers.iter().find(|reader| reader.name == name).unwrap();
        text(&reader.send(&site, Method::GET, "/dumps/11").await)
    };
    let hidden = page("reader").await;
    for needs in [
        "The environment needs the debug role",
        "The log needs the debug role",
        "Registers need the debug role",
        "The core needs the debug role",
        "Comparing, pinning and analyzing need the debug role",
    ] {
        assert!(hidden.contains(needs), "{needs}: {hidden}");
    }
    let seen = page("debugger").await;
    assert!(
        !seen.contains("the debug role") && seen.contains("Removing needs the admin role"),
        "{seen}"
    );
    assert!(seen.contains("secret-home") && seen.contains("starting"));
    let all = page("boss").await;
    assert!(!all.contains("the debug role") && !all.contains("the admin role"));

    let group = format!("/groups/{}", site.group());
    for (name, said) in [
        ("reader", "Deciding about this group needs the debug role"),
        (
            "some-boss",
            "Deciding about this group needs a token that shows all crashes",
        ),
    ] {
        let reader = readers.iter().find(|reader| reader.name == name).unwrap();
        let page = text(&reader.send(&site, Method::GET, &group).await);
        assert!(page.contains(said) && !page.contains("<textarea"), "{page}");
    }
}

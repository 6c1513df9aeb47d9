//! The pages on which access is handed out and taken back, and on which it is told who used it.

use crate::access::{guarded, unlimited};
use crate::site::{Answer, Site, record};
use aground_store::access::Role;
use axum::http::{Method, StatusCode};

const OWN: (&str, &str) = ("sec-fetch-site", "same-origin");
const HTML: (&str, &str) = ("accept", "text/html");

async fn signed_in(site: &Site, secret: &str) -> String {
    let form = format!("token={secret}&next=%2Ftokens");
    let answer = site.post_form("/sign-in", &form, &[OWN]).await;
    assert_eq!(answer.header("location"), "/tokens");
    let cookie = answer.header("set-cookie").split(';').next().unwrap();
    cookie.to_owned()
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

#[tokio::test]
async fn admins_make_tokens_read_their_secret_once_and_revoke_them() {
    let site = guarded(&[record(1)], unlimited()).await;
    let boss = site.token("boss", Role::Admin, &[], None);
    let cookie = signed_in(&site, &boss).await;
    let own = [HTML, OWN, ("cookie", cookie.as_str())];
    let form = "name=ci&role=read&scope=namespace%3Dprod%0D%0Aimage%3Dshop%2F*&expires=30d";
    let made = site.post_form("/tokens", form, &own).await;
    assert_eq!(made.status, StatusCode::OK, "{}", text(&made));
    assert_eq!(made.header("cache-control"), "no-store");
    let page = text(&made);
    let secret = page.split_once("class=\"secret\">").unwrap().1;
    let secret = secret.split_once('<').unwrap().0.to_owned();
    assert!(page.contains("Token “ci” was made."), "{page}");
    let listed = site.by(&secret, Method::GET, "/api/v1/dumps").await;
    assert_eq!(listed.json()["items"], serde_json::json!([]), "its scope");

    let page = text(&site.send(Method::GET, "/tokens", &own).await);
    assert!(!page.contains(&secret), "a secret is shown once");
    for said in [
        "Revoke ci",
        "namespace=prod image=shop/*",
        "in 29 d 23 h",
        "yours",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    for (form, why) in [
        ("role=root", "is no role"),
        ("role=read&scope=host%3Dx", "scope is of label="),
        ("role=read&expires=soon", "soon"),
        ("name=%3Cb%3Ex&role=read", "The name of a token is"),
        ("name=boss&role=read", "boss"),
    ] {
        let answer = site.post_form("/tokens", form, &own).await;
        let page = text(&answer);
        assert!(answer.status.is_client_error(), "{form}: {page}");
        let said = page
            .split_once("role=\"alert\"")
            .unwrap_or_else(|| panic!("{form}: {page}"))
            .1;
        assert!(said.contains(why), "{form}: {page}");
    }

    let tokens = site.by(&boss, Method::GET, "/api/v1/tokens").await.json();
    let tokens = &tokens["items"];
    assert_eq!(tokens.as_array().unwrap().len(), 2, "{tokens}");
    let remove = format!("/tokens/{}/remove", tokens[1]["id"].as_str().unwrap());
    // From elsewhere, or without saying whence, a browser's cookie does nothing.
    for elsewhere in [
        &[HTML, ("cookie", cookie.as_str())][..],
        &[
            HTML,
            ("cookie", cookie.as_str()),
            ("sec-fetch-site", "cross-site"),
        ],
        &[
            HTML,
            ("cookie", cookie.as_str()),
            ("origin", "http://evil.example"),
        ],
    ] {
        for target in [remove.as_str(), "/tokens"] {
            let answer = site.post_form(target, "role=read", elsewhere).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{target}");
        }
    }
    let removed = site.send(Method::POST, &remove, &own).await;
    assert_eq!(removed.header("location"), "/tokens");
    let gone = site.by(&secret, Method::GET, "/api/v1/dumps").await;
    assert_eq!(gone.status, StatusCode::UNAUTHORIZED);
    let again = site.send(Method::POST, &remove, &own).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    assert!(text(&again).contains("<h1>Nothing here</h1>"));

    let log = site.by(&boss, Method::GET, "/api/v1/audit").await.json();
    let requests: Vec<_> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            assert_eq!(entry["who"], "token boss");
            assert_eq!(entry["what"], "token");
            entry["request"].as_str().unwrap().to_owned()
        })
        .collect();
    let named = "ci (read, namespace=prod image=shop/*)";
    let expected = [
        format!("POST {remove}: {named}"),
        format!("POST /tokens: {named}"),
    ];
    assert_eq!(requests, expected);
    assert!(!log.to_string().contains(&secret));
}

#[tokio::test]
async fn the_audit_log_has_pages() {
    let site = guarded(&[record(1)], unlimited()).await;
    let boss = site.token("boss", Role::Admin, &[], None);
    let page = async |target: &str| text(&site.by(&boss, Method::GET, target).await);
    assert!(page("/audit").await.contains("Nobody has taken anything"));
    // What a page's form does is written down like what the API does.
    let unpinned = site.by(&boss, Method::GET, "/api/v1/dumps/11/core").await;
    assert_eq!(unpinned.status, StatusCode::OK);
    let removed = site.by(&boss, Method::POST, "/dumps/11/remove").await;
    assert_eq!(removed.status, StatusCode::SEE_OTHER);
    let id = record(1).id.to_string();
    let first = page("/audit").await;
    for said in ["remove", "core", "token boss", &id] {
        assert!(first.contains(said), "{said}: {first}");
    }
    assert!(!first.contains("rel=\"next\""), "{first}");
    for number in 0..150 {
        let entry = aground_store::access::Audited {
            at_ms: number,
            who: format!("<i>{number}"),
            ..Default::default()
        };
        site.app.daemon.store().audit(&entry).unwrap();
    }
    let newest = page("/audit").await;
    assert!(newest.contains("&lt;i&gt;149"), "{newest}");
    let (_, next) = newest.split_once("class=\"next\" href=\"").unwrap();
    let (next, _) = next.split_once('"').unwrap();
    let older = page(&format!("/audit{next}")).await;
    assert!(older.contains("&lt;i&gt;49") && older.contains(&id));
    assert!(!older.contains("&lt;i&gt;50") && !older.contains("rel=\"next\""));
    assert!(
        page("/audit?cursor=nonsense")
            .await
            .contains("No such page")
    );
}

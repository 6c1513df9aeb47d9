//! The pages in a real browser: with JavaScript and without, and with hostile names.
//!
//! With `AGROUND_SCREENSHOTS=DIR` every page visited is also photographed, in light and dark, at
//! the widths of a phone and of a desk.

use aground_testkit::browser::{Chromedriver, chromium};
use aground_testkit::docker::{Container, require_engine};
use aground_testkit::programs::{NEXT_RELEASE, RELEASE};
use aground_testkit::site::Site;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use std::path::PathBuf;

const WIDTHS: [u32; 2] = [390, 1440];
const HOSTILE: &str =
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">";

/// A browser on a site's pages.
struct Visitor {
    client: Client,
    base: String,
    look: &'static str,
}

impl Visitor {
    async fn new(driver: &Chromedriver, site: &Site, javascript: bool, dark: bool) -> Self {
        let client = ClientBuilder::new(connector())
            .capabilities(chromium(javascript, dark))
            .connect(&driver.url())
            .await
            .unwrap();
        Self {
            client,
            base: format!("http://127.0.0.1:{}", site.port()),
            look: if dark { "dark" } else { "light" },
        }
    }

    async fn open(&self, path: &str, name: &str) -> String {
        self.client
            .goto(&format!("{}{path}", self.base))
            .await
            .unwrap();
        self.photograph(name).await;
        self.text().await
    }

    async fn text(&self) -> String {
        self.client
            .find(Locator::Css("body"))
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }

    /// Follows the first link that goes below a path.
    async fn follow(&self, below: &str, name: &str) -> String {
        let selector = format!("main a[href^=\"{below}\"]");
        let link = self.client.find(Locator::Css(&selector)).await.unwrap();
        let target = link.attr("href").await.unwrap().unwrap();
        self.open(&target, name).await
    }

    async fn photograph(&self, name: &str) {
        let Some(directory) = std::env::var_os("AGROUND_SCREENSHOTS").map(PathBuf::from) else {
            return;
        };
        std::fs::create_dir_all(&directory).unwrap();
        for width in WIDTHS {
            self.client.set_window_size(width, 1000).await.unwrap();
            let image = self.client.screenshot().await.unwrap();
            std::fs::write(
                directory.join(format!("{name}-{}-{width}.png", self.look)),
                image,
            )
            .unwrap();
        }
    }

    async fn close(self) {
        self.client.close().await.unwrap();
    }
}

fn connector() -> HttpConnector {
    HttpConnector::new()
}

#[tokio::test]
async fn groups_lead_to_a_group_and_to_a_crash_that_says_why() {
    require_engine();
    let site = Site::started();
    let mut containers = Vec::new();
    {
        let _claim = site.collect();
        for (build, name) in [
            (RELEASE, "shop-api"),
            (NEXT_RELEASE, "shop-api"),
            (RELEASE, "payments"),
            (RELEASE, "search"),
            (RELEASE, "ledger"),
            (RELEASE, "gateway"),
        ] {
            let container = Container::new(name);
            container.run(&build.image(name).reference, &[]);
            containers.push(container);
        }
    }
    site.wait_for(containers.len(), &[]);

    let driver = Chromedriver::start();
    for (javascript, dark) in [(true, false), (false, false), (true, true)] {
        let visitor = Visitor::new(&driver, &site, javascript, dark).await;
        walk(&visitor, &containers[0].name).await;
        visitor.close().await;
    }
}

async fn walk(visitor: &Visitor, container: &str) {
    let overview = visitor.open("/", "overview").await;
    assert!(overview.contains("payment->cents_refunded"), "{overview}");
    let groups = visitor.open("/groups", "groups").await;
    for text in [
        "parse_host",
        "payment->cents_refunded",
        "aground-it/shop-api",
    ] {
        assert!(
            groups.contains(text),
            "{text} is missing on the groups page:\n{groups}"
        );
    }
    let group = visitor.follow("/groups/", "group").await;
    assert!(group.contains("aground-it/"), "{group}");
    visitor.follow("/dumps/", "crash-of-group").await;

    let id = newest(visitor, container);
    let crash = visitor.open(&format!("/dumps/{id}"), "crash").await;
    for text in [
        container,
        "parse_host",
        "host_length",
        "handle_request",
        "http.c",
        "SIGSEGV",
        "worker-2",
    ] {
        assert!(
            crash.contains(text),
            "{text} is missing on the crash page:\n{crash}"
        );
    }
    let cause = crash
        .find("null")
        .or_else(|| crash.find("0x8"))
        .expect("the cause");
    let stack = crash.find("handle_request").expect("the stack");
    assert!(cause < stack, "the cause is not above the stack:\n{crash}");
}

fn newest(visitor: &Visitor, container: &str) -> String {
    let port = visitor.base.rsplit(':').next().unwrap().parse().unwrap();
    let dumps =
        aground_testkit::http::get(port, &format!("/api/v1/dumps?filter=container={container}"))
            .json();
    dumps["items"][0]["id"].as_str().unwrap().to_owned()
}

/// Labels, arguments and file names belong to whoever runs containers: they are text on our pages.
#[tokio::test]
async fn hostile_names_are_shown_as_text() {
    require_engine();
    let image = RELEASE.image("inventory");
    let site = Site::started();
    let container = Container::new("inventory")
        .option(&format!("--label=note={HOSTILE}"))
        .option(&format!("--label={HOSTILE}=1"))
        .option(&format!("--env=NOTE={HOSTILE}"))
        .option("--hostname=h");
    {
        let _claim = site.collect();
        container.run(&image.reference, &["divide", HOSTILE]);
    }
    let dump = site.dump_of(&container.name);
    assert!(
        dump["record"]["process"]["args"]
            .to_string()
            .contains("<script>"),
        "the test shows nothing: {:#}",
        dump["record"]["process"]
    );

    let driver = Chromedriver::start();
    let visitor = Visitor::new(&driver, &site, true, false).await;
    let id = dump["summary"]["id"].as_str().unwrap();
    let group = dump["summary"]["group"].as_str().unwrap();
    for path in [
        "/".to_owned(),
        "/groups".to_owned(),
        format!("/groups/{group}"),
        format!("/dumps/{id}"),
    ] {
        visitor.open(&path, "hostile").await;
        let title = visitor.client.title().await.unwrap();
        assert_ne!(title, "owned", "{path} ran a script from a container");
        let images = visitor
            .client
            .find_all(Locator::Css("img[src=x]"))
            .await
            .unwrap();
        assert!(images.is_empty(), "{path} has an element from a container");
    }
    let crash = visitor.text().await;
    assert!(
        crash.contains("<script>"),
        "what the container said is not shown:\n{crash}"
    );
    visitor.close().await;
    // The terminal is no better protected: nothing may reach it raw.
    let table = site.aground(&["ls"]).ok();
    assert!(!table.contains('\u{1b}'), "{table:?}");
}

/// Nothing is loaded from elsewhere, and every page forbids it.
#[test]
fn pages_load_nothing_from_elsewhere() {
    let site = Site::started();
    let answer = site.get("/");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let head = answer.head.to_lowercase();
    assert!(
        head.contains("content-security-policy: default-src 'none'"),
        "{head}"
    );
    let page = answer.text();
    for outside in [
        "src=\"http",
        "href=\"http",
        "src=\"//",
        "url(http",
        "@import",
    ] {
        assert!(!page.contains(outside), "{outside}:\n{page}");
    }
    assert_eq!(site.get("/groups/0000000000000000").status, 404);
    assert_eq!(site.get("/dumps/ffffffffffffffff").status, 404);
}

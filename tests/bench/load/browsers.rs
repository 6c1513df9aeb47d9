//! People who look at pages: each opens one with its assets, keeps it fresh as `live.js` does, and
//! goes on to the next.

use aground_testkit::http;
use std::thread;
use std::time::{Duration, Instant};

/// What `live.js` waits between two looks.
const PAUSE: Duration = Duration::from_secs(2);
/// Looks at a page after it was opened.
const LOOKS: usize = 2;

/// A request that was answered.
pub struct Visit {
    what: &'static str,
    took: Duration,
}

/// Looks at pages until the time has come; browsers begin one after the other.
pub fn browse(port: u16, until: Instant, number: usize, of: usize) -> Vec<Visit> {
    let share = u32::try_from(of.max(1)).unwrap_or(1);
    thread::sleep(PAUSE / share * u32::try_from(number).unwrap_or(0));
    let mut visits = vec![];
    let (mut group, mut crash) = (None, None);
    for step in number.. {
        let (what, path) = match step % 5 {
            0 => ("overview", "/".to_owned()),
            1 => ("groups", "/groups".to_owned()),
            2 => ("crashes", "/dumps".to_owned()),
            3 => ("group", group.clone().unwrap_or("/groups".to_owned())),
            _ => ("crash", crash.clone().unwrap_or("/dumps".to_owned())),
        };
        let page = timed(port, &path, what, &mut visits);
        for asset in links(&page, "/static/") {
            timed(port, &asset, "assets", &mut visits);
        }
        group = links(&page, "/groups/").into_iter().next().or(group);
        crash = links(&page, "/dumps/").into_iter().next().or(crash);
        for _ in 0..LOOKS {
            if Instant::now() + PAUSE > until {
                return visits;
            }
            thread::sleep(PAUSE);
            timed(port, &path, what, &mut visits);
        }
    }
    visits
}

fn timed(port: u16, path: &str, what: &'static str, visits: &mut Vec<Visit>) -> String {
    let start = Instant::now();
    let answer = http::get(port, path);
    let took = start.elapsed();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    visits.push(Visit { what, took });
    answer.text()
}

/// Addresses in a page below a path, in their order.
fn links(page: &str, below: &str) -> Vec<String> {
    let quoted = page.split('"').skip(1).step_by(2);
    // Not the parts of a page, and not what compares two.
    let plain = |link: &&str| link.starts_with(below) && !link[below.len()..].contains(['#', '/']);
    quoted.filter(plain).map(str::to_owned).collect()
}

/// A line for each kind of page, one for all pages, and one for their assets.
pub fn summary(visits: &[Visit]) -> Vec<String> {
    let of = |name: &str, wanted: &dyn Fn(&Visit) -> bool| {
        let mut times: Vec<Duration> = visits
            .iter()
            .filter(|visit| wanted(visit))
            .map(|visit| visit.took)
            .collect();
        times.sort_unstable();
        let at = |percent: usize| {
            let place = (times.len() * percent / 100).min(times.len().saturating_sub(1));
            times
                .get(place)
                .map_or(0.0, |time| time.as_secs_f64() * 1000.0)
        };
        format!(
            "{name:10} {:6} requests, ms: median {:7.1}, 95 % {:7.1}, 99 % {:7.1}, all {:7.1}",
            times.len(),
            at(50),
            at(95),
            at(99),
            at(100)
        )
    };
    let kinds = ["overview", "groups", "crashes", "group", "crash"];
    let mut lines: Vec<String> = kinds
        .into_iter()
        .map(|kind| of(kind, &|visit| visit.what == kind))
        .collect();
    lines.push(of("all pages", &|visit| visit.what != "assets"));
    lines.push(of("assets", &|visit| visit.what == "assets"));
    lines
}

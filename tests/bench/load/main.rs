//! Measures pages and event streams of a service on which processes crash: see `run`.

mod browsers;
mod listeners;

use aground_testkit::core_pattern::CorePattern;
use aground_testkit::house::root;
use aground_testkit::http;
use aground_testkit::run::{eventually, finish};
use aground_testkit::site::Site;
use browsers::Visit;
use listeners::Listener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Processes that die at once, each second.
const AT_ONCE: usize = 25;
const MEGABYTES: usize = 4;
/// What has happened is told within this time.
const LIMIT: Duration = Duration::from_mins(5);

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| number(&text));
    let seconds = numbers.next().unwrap_or(30);
    let browsers = numbers.next().unwrap_or(50);
    let listeners = numbers.next().unwrap_or(100);
    let site = Site::started();
    let program = storm_program(site.path());
    let claim = site.collect();
    // Pages of an empty store would be quick.
    let mut crashes = crash(&program);
    wait_for(&site, crashes);

    let before = memory(&site, "VmRSS");
    let start = listeners::newest(site.port());
    let following: Vec<Listener> = (0..listeners)
        .map(|number| Listener::start(site.port(), start, number % 3 == 0))
        .collect();
    let until = Instant::now() + Duration::from_secs(seconds as u64);
    let browsing: Vec<_> = (0..browsers)
        .map(|number| {
            let port = site.port();
            thread::spawn(move || browsers::browse(port, until, number, browsers))
        })
        .collect();
    while Instant::now() < until {
        let second = Instant::now() + Duration::from_secs(1);
        crashes += crash(&program);
        thread::sleep(second.saturating_duration_since(Instant::now()));
    }
    let visits: Vec<Visit> = browsing
        .into_iter()
        .flat_map(|browser| browser.join().expect("a browser"))
        .collect();
    let during = memory(&site, "VmRSS");
    wait_for(&site, crashes);
    drop::<CorePattern>(claim);

    println!("{crashes} crashes in {seconds} s, {browsers} browsers, {listeners} listeners");
    for line in browsers::summary(&visits) {
        println!("{line}");
    }
    let missed = compare(&site, start, following);
    let (after, most) = (memory(&site, "VmRSS"), memory(&site, "VmHWM"));
    println!("resident MB: {before} before, {during} meanwhile, {after} after, {most} at most");
    assert!(
        missed == 0,
        "{missed} listeners missed events or got some twice"
    );
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

fn storm_program(directory: &Path) -> PathBuf {
    let program = directory.join("storm");
    let source = root().join("tests/programs/storm/storm.c");
    let mut compile = Command::new("gcc");
    compile.args(["-g", "-O1", "-o"]).arg(&program).arg(source);
    finish(&mut compile).ok();
    program
}

/// Has processes crash; how many.
fn crash(program: &Path) -> usize {
    let numbers = [AT_ONCE.to_string(), MEGABYTES.to_string()];
    finish(Command::new(program).args(numbers)).ok();
    AT_ONCE
}

/// Waits until so many crashes are there and nothing is left to do.
fn wait_for(site: &Site, crashes: usize) {
    eventually(LIMIT, || {
        let status = http::get(site.port(), "/api/v1/status").json();
        let (dumps, pending) = (&status["store"]["dumps"], &status["store"]["pending"]);
        let done = dumps.as_u64() == Some(crashes as u64) && pending.as_u64() == Some(0);
        done.then_some(())
            .ok_or_else(|| format!("{dumps} of {crashes}, {pending} wait"))
    });
}

/// How many listeners did not get every event once and in order.
fn compare(site: &Site, start: i64, following: Vec<Listener>) -> usize {
    let there = listeners::all_after(site.port(), start);
    let last = there.last().copied().unwrap_or(start);
    let breaks: usize = following.iter().map(Listener::breaks).sum();
    let got: Vec<Vec<i64>> = following
        .into_iter()
        .map(|listener| listener.until(last, LIMIT))
        .collect();
    let missed = got.iter().filter(|got| **got != there).count();
    println!(
        "{} events, told {} times, {breaks} reconnections; {missed} listeners missed some",
        there.len(),
        got.iter().map(Vec::len).sum::<usize>(),
    );
    missed
}

/// A line of `/proc/PID/status` of the service, in MB.
fn memory(site: &Site, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", site.pid()));
    let status = status.expect("read the status of the service");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let digits = line.expect("its line").chars().filter(char::is_ascii_digit);
    digits.collect::<String>().parse::<u64>().expect("a number") / 1000
}

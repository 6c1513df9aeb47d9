//! What the helper could not read of a container, its engine is asked for when the crash is over.

use aground_testkit::docker::{Container, require_engine, unique_name};
use aground_testkit::engines::{CRASH, DockerImage, archive, busybox_root};
use aground_testkit::run::{eventually, finish, run};
use aground_testkit::site::{Site, signal, text};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const ENGINE: &str = "/run/docker.sock";

/// A daemon that looks for the engine at a socket of the test's, and the record of a crash.
struct Given {
    site: Site,
    socket: PathBuf,
    record: Value,
    image: DockerImage,
}

impl Given {
    fn new() -> Self {
        require_engine();
        let mut site = Site::new();
        let root = busybox_root(&site.path().join("root"));
        let image = DockerImage::import(&archive(&root));
        // Only root may talk to the engine.
        site.start_as_root();
        let container = Container::new("any");
        {
            let _claim = site.collect();
            container.run(&image.0, &["/bin/sh", "-c", CRASH]).ok();
        }
        let record = site.dump_of(&container.name)["record"].clone();
        site.stop();
        let socket = site.path().join("engine.sock");
        Self {
            site,
            socket,
            record,
            image,
        }
    }

    fn start(&mut self) {
        let config = format!("[runtimes]\ndocker = \"{}\"\n", text(&self.socket));
        self.site.start_as_root_with_config(&config);
    }

    /// Waits until the daemon follows the engine and knows so many containers.
    fn known(&self, at_least: impl Fn(u64) -> bool) -> u64 {
        eventually(Duration::from_mins(1), || {
            let engine = self.site.get("/api/v1/status").json()["engines"][0].clone();
            let known = engine["containers"].as_u64().unwrap();
            let followed = engine["trouble"].is_null() && at_least(known);
            followed.then_some(known).ok_or_else(|| engine.to_string())
        })
    }

    /// Hands over a crash of which the helper knew no more than the container's id. Returns what
    /// is known of the container then.
    fn hand_over(&self, digit: char, container: &str) -> Value {
        let id = digit.to_string().repeat(32);
        let mut record = self.record.clone();
        record["id"] = json!(id);
        record["modules"] = json!([]);
        record["container"] = json!({"runtime": "docker", "id": container, "source": "cgroup"});
        let (entry, ready) = (
            self.site.path().join(&id),
            self.site.state().join("spool/ready").join(&id),
        );
        fs::create_dir(&entry).unwrap();
        fs::write(entry.join("record.json"), record.to_string()).unwrap();
        finish(Command::new("mv").arg(&entry).arg(&ready)).ok();
        self.site.wait_for(1, &[&format!("id={id}")]).remove(0)["record"].clone()
    }
}

fn started(image: &str) -> (String, String) {
    let name = unique_name("gone");
    let named = format!("--name={name}");
    // In the host's namespace, or a signal would not end its first process.
    let options = [
        "run",
        "--rm",
        "--detach",
        "--network=none",
        "--pid=host",
        "--label=team=shop",
        &named,
    ];
    let id = run(
        "docker",
        &[&options[..], &[image, "/bin/sleep", "1000"]].concat(),
    )
    .ok();
    (name, id.trim().to_owned())
}

fn expect(container: &Value, name: &str, image: &str, from: &str) {
    assert_eq!(container["name"], name, "{container:#}");
    assert_eq!(container["image"], image);
    assert_eq!(container["labels"]["team"], "shop");
    let evidence = container["evidence"].as_array().unwrap();
    let said = evidence.iter().find(|one| one["from"] == from);
    let facts = &said.unwrap_or_else(|| panic!("nothing from {from}: {container:#}"))["facts"];
    assert!(facts.as_array().unwrap().contains(&json!("labels")));
    // It says what the container is, not that it was this one that crashed.
    assert_eq!(container["source"], "cgroup");
}

#[test]
fn a_container_that_is_gone_is_known_from_before_and_one_that_is_there_is_asked_for() {
    let mut given = Given::new();
    // Nobody is there to be followed.
    given.start();
    let (name, id) = started(&given.image.0);
    symlink(ENGINE, &given.socket).unwrap();
    let record = given.hand_over('1', &id);
    expect(&record["container"], &name, &given.image.0, "runtime-api");
    let unknown = given.hand_over('2', &"ab".repeat(32));
    assert_eq!(unknown["container"]["name"], Value::Null);
    given.site.stop();
    given.start();
    // It was there when the daemon came, and is gone when its crash is taken in.
    let known = given.known(|_| true);
    run("docker", &["rm", "--force", &name]).ok();
    let record = given.hand_over('3', &id);
    expect(&record["container"], &name, &given.image.0, "event-cache");
    // Another comes and goes meanwhile.
    let (name, id) = started(&given.image.0);
    given.known(|now| now > known);
    run("docker", &["rm", "--force", &name]).ok();
    let record = given.hand_over('4', &id);
    expect(&record["container"], &name, &given.image.0, "event-cache");
}

#[test]
fn an_engine_that_hangs_keeps_no_crash_from_being_taken_in() {
    let mut given = Given::new();
    let _hangs = UnixListener::bind(&given.socket).unwrap();
    given.start();
    for (digit, why) in [('1', "it did not answer"), ('2', "a short while ago")] {
        let record = given.hand_over(digit, &"ab".repeat(32));
        let problems = record["problems"].to_string();
        assert!(problems.contains(why), "{problems}");
    }
}

/// A stopped engine, which goes on when this is dropped.
struct Stopped(u32);

impl Stopped {
    fn new() -> Self {
        let pid = fs::read_to_string("/run/docker.pid").unwrap();
        let pid = pid.trim().parse().unwrap();
        signal(pid, Signal::STOP);
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal(self.0, Signal::CONT);
    }
}

/// The first process of a container, as the host sees it.
fn process_of(container: &str) -> u32 {
    let pid = run("docker", &["inspect", "--format={{.State.Pid}}", container]).ok();
    pid.trim().parse().unwrap()
}

#[test]
fn an_engine_that_is_stopped_is_not_missed() {
    require_engine();
    let mut site = Site::new();
    site.start_as_root();
    let root = busybox_root(&site.path().join("root"));
    let image = DockerImage::import(&archive(&root));
    let (name, id) = started(&image.0);
    {
        let _claim = site.collect();
        let pid = process_of(&name);
        let _stopped = Stopped::new();
        signal(pid, Signal::SEGV);
        let dump = site.wait_for(1, &[&format!("container={name}")]).remove(0);
        let known = &dump["record"]["container"];
        assert_eq!(known["id"], id.as_str());
        assert_eq!(known["image"], image.0.as_str());
        assert_eq!(known["labels"]["team"], "shop");
        assert_eq!(known["source"], "cgroup-and-disk");
        assert_eq!(dump["record"]["problems"], json!([]));
    }
}

#[test]
fn a_container_that_is_removed_while_it_is_dumped_keeps_its_name() {
    require_engine();
    let site = Site::started();
    let root = busybox_root(&site.path().join("root"));
    let image = DockerImage::import(&archive(&root));
    let containers = [(); 5].map(|()| started(&image.0));
    let _claim = site.collect();
    for (name, _) in &containers {
        signal(process_of(name), Signal::SEGV);
        run("docker", &["rm", "--force", name]);
    }
    for (name, id) in &containers {
        let dump = site.wait_for(1, &[&format!("container={name}")]).remove(0);
        assert_eq!(dump["record"]["container"]["id"], id.as_str());
        assert_eq!(dump["record"]["container"]["image"], image.0.as_str());
    }
}

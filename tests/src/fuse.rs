//! A file system that stops answering when it is told to: one read-only file, served over
//! `/dev/fuse` by hand (include/uapi/linux/fuse.h).

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

const ROOT: u64 = 1;
const FILE: u64 = 2;
const NO_SUCH_FILE: i32 = 2;
const NO_SUCH_CALL: i32 = 38;

/// The mounted file system; unmounted, and whoever waits for it woken, when dropped.
pub struct HangingFiles {
    directory: tempfile::TempDir,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    hangs: AtomicBool,
    ends: AtomicBool,
    unanswered: AtomicUsize,
}

impl HangingFiles {
    /// A file system whose only file, `program`, has `content`.
    pub fn new(content: Vec<u8>) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let device = File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .expect("open /dev/fuse");
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,allow_other",
            device.as_raw_fd()
        );
        let options = CString::new(options).expect("no zero byte");
        let flags = MountFlags::NODEV | MountFlags::RDONLY;
        mount(
            "hanging",
            directory.path(),
            "fuse",
            flags,
            options.as_c_str(),
        )
        .expect("mount");
        let shared = Arc::new(Shared::default());
        let server = Server {
            device,
            content,
            shared: Arc::clone(&shared),
        };
        Self {
            directory,
            shared,
            server: Some(std::thread::spawn(move || server.run())),
        }
    }

    /// Its file.
    pub fn program(&self) -> PathBuf {
        self.path().join("program")
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Answers nothing any more.
    pub fn hang(&self) {
        self.shared.hangs.store(true, Ordering::SeqCst);
    }

    /// How many questions it has left unanswered.
    pub fn unanswered(&self) -> usize {
        self.shared.unanswered.load(Ordering::SeqCst)
    }
}

impl Drop for HangingFiles {
    fn drop(&mut self) {
        let _ = unmount(self.path(), UnmountFlags::DETACH);
        self.shared.ends.store(true, Ordering::SeqCst);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

struct Server {
    device: File,
    content: Vec<u8>,
    shared: Arc<Shared>,
}

impl Server {
    /// Until the end; closing the device then fails every question.
    fn run(mut self) {
        let mut buffer = vec![0; 1 << 18];
        while !self.shared.ends.load(Ordering::SeqCst) {
            let mut ready = [PollFd::new(&self.device, PollFlags::IN)];
            let moment = Timespec {
                tv_sec: 0,
                tv_nsec: 50_000_000,
            };
            if poll(&mut ready, Some(&moment)) != Ok(1) {
                continue;
            }
            let Ok(length) = self.device.read(&mut buffer) else {
                return;
            };
            let question = buffer[..length].to_vec();
            if self.shared.hangs.load(Ordering::SeqCst) {
                self.shared.unanswered.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            self.answer(&question);
        }
    }

    fn answer(&mut self, question: &[u8]) {
        let (kind, unique, node) = (word(question, 4), quad(question, 8), quad(question, 16));
        let body = &question[40..];
        let reply = match kind {
            1 => self.look_up(body),
            // Forgotten nodes and interruptions want no answer.
            2 | 36 | 42 => return,
            3 => Ok([numbers(&[0, 0]), self.attributes(node)].concat()),
            14 | 27 => Ok(numbers(&[0, 0])),
            15 => Ok(self.piece(quad(body, 8), word(body, 16))),
            17 => Ok(vec![0; 80]),
            18 | 25 | 29 => Ok(Vec::new()),
            26 => Ok(introduction()),
            _ => Err(NO_SUCH_CALL),
        };
        let (error, body) = reply.map_or_else(|error| (-error, Vec::new()), |body| (0, body));
        let mut answer = u32::try_from(16 + body.len())
            .expect("small")
            .to_ne_bytes()
            .to_vec();
        answer.extend(error.to_ne_bytes());
        answer.extend(unique.to_ne_bytes());
        answer.extend(body);
        // Who asked may have been killed.
        let _ = self.device.write_all(&answer);
    }

    /// `fuse_entry_out`: nothing of it may be kept, so that every look asks again.
    fn look_up(&self, name: &[u8]) -> Result<Vec<u8>, i32> {
        if name != b"program\0" {
            return Err(NO_SUCH_FILE);
        }
        Ok([numbers(&[FILE, 0, 0, 0, 0]), self.attributes(FILE)].concat())
    }

    /// `fuse_attr`.
    fn attributes(&self, node: u64) -> Vec<u8> {
        let (mode, size) = if node == ROOT {
            (0o040_755, 0)
        } else {
            (0o100_755, self.content.len() as u64)
        };
        let mut attributes = numbers(&[node, size, 0, 0, 0, 0]);
        for word in [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0u32] {
            attributes.extend(word.to_ne_bytes());
        }
        attributes
    }

    fn piece(&self, offset: u64, length: u32) -> Vec<u8> {
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.content.len());
        let end = (start + length as usize).min(self.content.len());
        self.content[start..end].to_vec()
    }
}

/// `fuse_init_out` of protocol 7.31.
fn introduction() -> Vec<u8> {
    let mut out = Vec::new();
    for word in [7u32, 31, 1 << 17, 0, 0, 1 << 17, 1] {
        out.extend(word.to_ne_bytes());
    }
    out.resize(64, 0);
    out
}

fn numbers(values: &[u64]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_ne_bytes())
        .collect()
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn quad(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

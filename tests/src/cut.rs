//! A line to a port of this machine that breaks after so many bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Passes connections on, and cuts each when its client has sent so many bytes.
pub struct CuttingProxy {
    port: u16,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    cuts: AtomicUsize,
    bytes: AtomicUsize,
}

impl CuttingProxy {
    /// To a port, as fast as it goes.
    pub fn to(port: u16, most: usize) -> Self {
        Self::new(port, most, Duration::ZERO)
    }

    /// To a port, some twenty mebibytes a second.
    pub fn slowly_to(port: u16, most: usize) -> Self {
        Self::new(port, most, Duration::from_millis(3))
    }

    fn new(to: u16, most: usize, pause: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        // Ends with the process of the test.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let counts = Arc::clone(&counted);
                std::thread::spawn(move || pass(client, to, most, pause, &counts));
            }
        });
        Self { port, counts }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connections that were cut.
    pub fn cuts(&self) -> usize {
        self.counts.cuts.load(Ordering::Relaxed)
    }

    /// Bytes that clients sent.
    pub fn bytes(&self) -> usize {
        self.counts.bytes.load(Ordering::Relaxed)
    }
}

fn pass(mut client: TcpStream, to: u16, most: usize, pause: Duration, counts: &Counts) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", to)) else {
        return;
    };
    let (mut answers, mut back) = (
        server.try_clone().expect("clone"),
        client.try_clone().expect("clone"),
    );
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let (mut piece, mut sent) = (vec![0; 64 * 1024], 0);
    while let Ok(length @ 1..) = client.read(&mut piece) {
        if server.write_all(&piece[..length]).is_err() {
            break;
        }
        sent += length;
        counts.bytes.fetch_add(length, Ordering::Relaxed);
        if sent >= most {
            counts.cuts.fetch_add(1, Ordering::Relaxed);
            let _ = client.shutdown(Shutdown::Both);
            break;
        }
        std::thread::sleep(pause);
    }
    let _ = server.shutdown(Shutdown::Both);
}

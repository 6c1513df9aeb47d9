//! Threads in Rust's own kinds of waiting, then a panic deep in an iterator.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Barrier, Condvar, Mutex, RwLock};
use std::thread;
use std::time::Duration;

trait Shipping: Send {
    fn cost(&self, weight: u32) -> u32;
}

struct Express<T> {
    rates: Vec<T>,
}

impl<T: Copy + Into<u64> + Send> Shipping for Express<T> {
    fn cost(&self, weight: u32) -> u32 {
        let total: u64 = self.rates.iter().map(|rate| (*rate).into()).sum();
        rest();
        u32::try_from(total).unwrap_or(weight)
    }
}

#[inline(never)]
fn rest() {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

#[inline(never)]
fn priced(shipping: &dyn Shipping, weight: u32) -> u32 {
    shipping.cost(weight) + 1
}

#[inline(never)]
fn receive(orders: &Receiver<u32>) -> u32 {
    orders.recv().map_or(0, |order| order + 1)
}

#[inline(never)]
fn descend(depth: u32) -> u32 {
    if depth == 0 {
        rest();
        return 0;
    }
    descend(depth - 1) + std::hint::black_box(depth)
}

mod ledger {
    use super::BTreeMap;

    #[inline(never)]
    pub fn total(accounts: &BTreeMap<u32, Option<u64>>) -> u64 {
        accounts.values().map(amount).sum()
    }

    fn amount(entry: &Option<u64>) -> u64 {
        entry.expect("an open account")
    }
}

fn main() {
    let held = Arc::new(Mutex::new(0_u32));
    let guard = held.lock().unwrap();
    let gate = Arc::new(RwLock::new(0_u32));
    let reading = gate.read().unwrap();
    let barrier = Arc::new(Barrier::new(9));
    let (sender, orders) = channel();
    let start = |work: Box<dyn FnOnce() + Send>| {
        let barrier = Arc::clone(&barrier);
        thread::spawn(move || {
            barrier.wait();
            work();
        });
    };
    let (mutex, lock) = (Arc::clone(&held), Arc::clone(&gate));
    start(Box::new(move || drop(mutex.lock())));
    start(Box::new(move || drop(lock.write())));
    start(Box::new(move || {
        receive(&orders);
    }));
    start(Box::new(|| {
        priced(&Express { rates: vec![1_u32, 2] }, 3);
    }));
    start(Box::new(|| {
        descend(12);
    }));
    start(Box::new(|| {
        let pair = (Mutex::new(()), Condvar::new());
        let waiting = pair.0.lock().unwrap();
        drop(pair.1.wait_while(waiting, |()| true));
    }));
    start(Box::new(|| {
        let mut names = vec!["b", "a"];
        names.sort_by(|left, right| {
            rest();
            left.cmp(right)
        });
    }));
    start(Box::new(|| {
        let _ = std::panic::catch_unwind(|| priced(&Express { rates: vec![7_u8] }, 3));
    }));
    barrier.wait();
    thread::sleep(Duration::from_millis(200));
    let accounts = BTreeMap::from([(1, Some(5)), (2, None)]);
    println!("{}", ledger::total(&accounts));
    drop((guard, reading, sender));
    std::process::abort();
}

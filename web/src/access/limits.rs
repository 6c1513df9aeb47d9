//! How much one client may ask for: a bucket of tokens each, refilled at a steady pace.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Clients that are told apart; beyond that, those that have been quiet are forgotten.
const MOST_CLIENTS: usize = 10_000;

/// A limit that holds for each client.
#[derive(Debug)]
pub struct Limits {
    per_second: f64,
    burst: f64,
    clients: Mutex<HashMap<String, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Limits {
    /// So many at once, and so many each second from then on. No limit where one of them is 0.
    pub fn new(per_second: f64, burst: u32) -> Self {
        Self {
            per_second,
            burst: f64::from(burst),
            clients: Mutex::default(),
        }
    }

    /// Takes one; says how long to wait where there is none.
    pub fn take(&self, client: &str, now: Instant) -> Result<(), Duration> {
        self.change(client, now, 1.0)
    }

    /// Says how long to wait where there is none, and takes none.
    pub fn check(&self, client: &str, now: Instant) -> Result<(), Duration> {
        self.change(client, now, 0.0)
    }

    /// Begins anew with everybody.
    pub fn forget(&self) {
        self.clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn change(&self, client: &str, now: Instant, cost: f64) -> Result<(), Duration> {
        if self.per_second <= 0.0 || self.burst < 1.0 {
            return Ok(());
        }
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= MOST_CLIENTS && !clients.contains_key(client) {
            clients.retain(|_, bucket| self.filled(*bucket, now) < self.burst);
            if clients.len() >= MOST_CLIENTS {
                // More clients than that at once are one that has many addresses.
                clients.clear();
            }
        }
        let full = Bucket {
            left: self.burst,
            at: now,
        };
        let bucket = clients.entry(client.to_owned()).or_insert(full);
        let left = self.filled(*bucket, now);
        if left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - left) / self.per_second));
        }
        *bucket = Bucket {
            left: left - cost,
            at: now,
        };
        Ok(())
    }

    fn filled(&self, bucket: Bucket, now: Instant) -> f64 {
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.left + since * self.per_second).min(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_a_bucket_that_refills() {
        let limits = Limits::new(2.0, 3);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(limits.take("a", start), Ok(()));
        }
        assert_eq!(limits.check("a", start), Err(Duration::from_millis(500)));
        assert_eq!(limits.take("a", start), Err(Duration::from_millis(500)));
        assert_eq!(limits.take("b", start), Ok(()));
        let later = start + Duration::from_millis(500);
        assert_eq!(limits.check("a", later), Ok(()));
        assert_eq!(limits.take("a", later), Ok(()));
        assert!(limits.take("a", later).is_err());
        let much_later = start + Duration::from_hours(1);
        let taken = (0..10).filter(|_| limits.take("a", much_later).is_ok());
        assert_eq!(taken.count(), 3);
    }

    #[test]
    fn no_limit_is_none_and_many_clients_are_bounded() {
        let now = Instant::now();
        let none = Limits::new(0.0, 5);
        assert!((0..100).all(|_| none.take("a", now).is_ok()));
        let limits = Limits::new(1.0, 1);
        for client in 0..=2 * MOST_CLIENTS {
            let _ = limits.take(&client.to_string(), now);
        }
        let kept = limits
            .clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        assert!(kept.len() <= MOST_CLIENTS);
    }
}

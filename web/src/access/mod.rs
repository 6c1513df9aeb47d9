//! Who may do what: the needs of each route, and who asks.
//!
//! Every route says what it needs ([`route::Route`]); there is no other way to make one. Before a
//! request reaches its route, [`front`] finds out who asks ([`who`]) and gives it to a router whose
//! store shows what they may see and nothing else ([`aground_store::access::Sight`]). The route's
//! own guard compares what it needs with who asks, and writes down what was taken
//! ([`aground_store::access::Audited`]).

pub mod front;
pub mod limits;
pub mod route;
pub mod sessions;
pub mod who;

use aground_store::access::{Role, Sight, Worthless};
use limits::Limits;
use sessions::Sessions;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use who::Who;

/// Who asks, and what they may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Who.
    pub who: Who,
    /// From where: an address, or `unix`.
    pub from: String,
    /// What they may do; nothing while nobody has signed in.
    pub role: Option<Role>,
    /// What they see.
    pub sight: Sight,
    /// Why the token that was shown is worth nothing.
    pub worthless: Option<Worthless>,
}

/// What the service asks of who asks it.
#[derive(Debug)]
pub struct Gate {
    /// Whether who comes over TCP must show a token.
    pub tokens_needed: bool,
    /// Whether a proxy is before us, which says where requests come from.
    pub behind_proxy: bool,
    /// Sessions of browsers.
    pub sessions: Sessions,
    /// How much one client may ask for.
    pub requests: Limits,
    /// How often one address may show a wrong token.
    pub failures: Limits,
    /// A seat for each who follows events.
    pub listeners: Arc<Semaphore>,
}

/// How many wrong tokens one address may show at once, and how many more each second.
const WRONG_AT_ONCE: u32 = 10;
const WRONG_PER_SECOND: f64 = 0.1;
/// How many may follow events where nobody says how many.
const LISTENERS: usize = 500;

impl Default for Gate {
    /// Open to this machine, as long as nobody else can reach it.
    fn default() -> Self {
        let sessions = Sessions::new(Duration::from_hours(8), Duration::from_hours(7 * 24), false);
        Self::new(false, false, sessions, Limits::new(0.0, 0))
    }
}

impl Gate {
    /// What the configuration asks.
    pub fn new(
        tokens_needed: bool,
        behind_proxy: bool,
        sessions: Sessions,
        requests: Limits,
    ) -> Self {
        Self {
            tokens_needed,
            behind_proxy,
            sessions,
            requests,
            failures: Limits::new(WRONG_PER_SECOND, WRONG_AT_ONCE),
            listeners: Arc::new(Semaphore::new(LISTENERS)),
        }
    }

    /// The same with room for so many who follow events.
    #[must_use]
    pub fn with_listeners(mut self, most: u32) -> Self {
        let most = usize::try_from(most).unwrap_or(LISTENERS);
        self.listeners = Arc::new(Semaphore::new(most));
        self
    }
}

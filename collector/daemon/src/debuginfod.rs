//! Fetches files of symbols that crashes lack from debuginfod servers, after their analyses and
//! never during one; what came is used by another.
//!
//! Off unless servers are configured. Only build IDs that frames lie in are asked for, each once
//! at a time; what no server has is not asked for again until `fetch_again` is over, also across
//! restarts. A file is kept only if a worker in its sandbox reads the build ID in it that was
//! asked for.

mod http;

use crate::config::symbols::Server;
use crate::daemon::{Inner, blocking, chain};
use crate::import::ImportError;
use crate::symbols::{self, ServerStatus};
use aground_analyzer::describe::{Description, PROGRAM};
use aground_store::StoreError;
use aground_store::symbols::{Source, SymbolFile};
use http::Refusal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Files fetched before the analyses that lack them are repeated: one analysis for many.
const ROUND: u32 = 16;
/// How often to look for files whose time to be asked for has come.
const LOOK: Duration = Duration::from_mins(1);
/// For how long a server that cannot be talked to is left alone.
const SILENCE: Duration = Duration::from_mins(1);
/// For how long a file is not asked for after it could not be fetched, whatever the reason.
const AFTER_TROUBLE: Duration = Duration::from_mins(10);

/// The configured servers and how it went with each.
pub(crate) struct Servers(Vec<Known>);

struct Known {
    server: Server,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fetched: u64,
    trouble: Option<String>,
    silent_until: Option<Instant>,
}

impl Servers {
    pub(crate) fn new(servers: &[Server]) -> Self {
        let known = |server: &Server| Known {
            server: server.clone(),
            state: Mutex::default(),
        };
        Self(servers.iter().map(known).collect())
    }

    /// Talks again to servers that were left alone.
    pub(crate) fn listen_again(&self) {
        for known in &self.0 {
            known.state().silent_until = None;
        }
    }

    pub(crate) fn status(&self) -> Vec<ServerStatus> {
        let status = |known: &Known| {
            let state = known.state();
            ServerStatus {
                url: known.server.to_string(),
                fetched: state.fetched,
                trouble: state.trouble.clone(),
            }
        };
        self.0.iter().map(status).collect()
    }
}

impl Known {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_silent(&self) -> bool {
        let until = self.state().silent_until;
        until.is_some_and(|until| until > Instant::now())
    }
}

/// What came of asking for a file.
enum Outcome {
    Came(Box<SymbolFile>),
    /// No server has it.
    Missing,
    /// Some server might.
    Failed(String),
    /// No server can be asked now.
    NotAsked,
}

/// Runs until the daemon stops.
pub(crate) async fn run(daemon: Arc<Inner>) {
    if daemon.servers.0.is_empty() {
        return;
    }
    loop {
        let rounds = async {
            while round(&daemon).await? {}
            Ok::<_, StoreError>(())
        };
        tokio::select! {
            () = daemon.stopped() => return,
            ended = rounds => if let Err(error) = ended {
                tracing::error!(error = chain(&error), "could not look for symbols to fetch");
            }
        }
        tokio::select! {
            () = daemon.stopped() => return,
            () = daemon.lacking.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Fetches some files, then has what lacks them analysed again. Whether there may be more.
async fn round(daemon: &Arc<Inner>) -> Result<bool, StoreError> {
    let store = daemon.store.clone();
    let wanted = blocking("look for symbols to fetch", move || {
        store.symbols_to_request(ROUND)
    });
    let wanted = wanted.await.unwrap_or(Ok(vec![]))?;
    let mut more = !wanted.is_empty();
    let mut came = vec![];
    for build_id in wanted {
        match fetch(daemon, &build_id).await? {
            Outcome::Came(file) => {
                if let Some(shared) = file
                    .shared
                    .clone()
                    .filter(|id| !daemon.store.has_symbols(id))
                {
                    fetch(daemon, &shared).await?;
                }
                came.push(file);
            }
            Outcome::NotAsked => {
                more = false;
                break;
            }
            Outcome::Missing | Outcome::Failed(_) => {}
        }
    }
    let inner = Arc::clone(daemon);
    let repeated = blocking("have crashes analysed again", move || {
        for file in came {
            let reanalysed = inner.name_again(&file)?;
            tracing::info!(
                build_id = file.build_id,
                name = file.name,
                reanalysed,
                "symbols fetched"
            );
        }
        Ok::<_, StoreError>(())
    });
    repeated.await.unwrap_or(Ok(()))?;
    Ok(more)
}

/// Asks the servers in turn for a file, and notes what came of it.
async fn fetch(daemon: &Arc<Inner>, build_id: &str) -> Result<Outcome, StoreError> {
    let outcome = ask_all(daemon, build_id).await;
    let again = daemon.config.symbols.fetch_again.0;
    let (said, rest) = match &outcome {
        // So that a file that had to make room for others is not fetched over and over.
        Outcome::Came(_) => ("fetched".to_owned(), again),
        Outcome::Missing => ("no server has it".to_owned(), again),
        Outcome::Failed(why) => (why.clone(), AFTER_TROUBLE.min(again)),
        Outcome::NotAsked => return Ok(outcome),
    };
    let (store, id) = (daemon.store.clone(), build_id.to_owned());
    let rest = i64::try_from(rest.as_millis()).unwrap_or(i64::MAX);
    let noted = blocking("note a request", move || {
        store.note_request(&id, &said, rest)
    });
    noted.await.unwrap_or(Ok(()))?;
    Ok(outcome)
}

async fn ask_all(daemon: &Arc<Inner>, build_id: &str) -> Outcome {
    let mut result = Outcome::NotAsked;
    for known in daemon.servers.0.iter().filter(|known| !known.is_silent()) {
        let limit = Duration::from_secs(daemon.config.symbols.fetch_seconds);
        let asked = timeout(limit, ask(daemon, known, build_id)).await;
        let trouble = match asked {
            Ok(Ok(file)) => {
                let mut state = known.state();
                state.fetched = state.fetched.saturating_add(1);
                state.trouble = None;
                return Outcome::Came(Box::new(file));
            }
            Ok(Err(Refusal::Missing)) => {
                known.state().trouble = None;
                if matches!(result, Outcome::NotAsked) {
                    result = Outcome::Missing;
                }
                continue;
            }
            Ok(Err(Refusal::Unreachable(why))) => {
                known.state().silent_until = Some(Instant::now() + SILENCE);
                why
            }
            Ok(Err(Refusal::Odd(why))) => why,
            Err(_) => format!("it took longer than {} seconds", limit.as_secs()),
        };
        tracing::warn!(server = %known.server, build_id, trouble, "symbols could not be fetched");
        result = Outcome::Failed(format!("{}: {trouble}", known.server));
        known.state().trouble = Some(trouble);
    }
    result
}

async fn ask(daemon: &Arc<Inner>, known: &Known, build_id: &str) -> Result<SymbolFile, Refusal> {
    let mut coming = http::get(&known.server, build_id).await?;
    let odd = |error: ImportError| Refusal::Odd(error.to_string());
    let most = daemon.config.symbols.fetch_max.0;
    let received = symbols::take_in(daemon, &mut coming.bytes, most).await;
    let received = received.map_err(odd)?;
    let Description {
        build_id: found,
        has_code,
        ..
    } = &received.description;
    // A program may come with its symbols.
    let whole = build_id.strip_prefix(PROGRAM).filter(|_| *has_code);
    if found != build_id && whole != Some(found) {
        return Err(Refusal::Odd(format!("it sent a file of build ID {found}")));
    }
    let name = known.server.to_string();
    let kept = symbols::keep(daemon, received, &name, Source::Debuginfod).await;
    kept.map_err(odd)
}

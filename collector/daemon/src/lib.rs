//! What runs: takes the spool in, has dumps analysed in worker processes, groups them.
//!
//! ```text
//! spool/incoming ──spool: adopt what a dead helper left──► spool/ready ──intake──► Store::admit
//!                                                                                     │ job
//! subscribers ◄── Event ◄── Store::assign ◄── report ◄── worker (a process) ◄── queue ┘
//! ```

mod config;
mod daemon;
mod debuginfod;
pub mod doctor;
mod governor;
pub mod import;
mod intake;
mod journal;
mod label;
mod metrics;
mod notify;
pub mod outgoing;
mod propose;
mod queue;
mod regroup;
mod reroute;
mod retention;
pub mod rules;
mod runtimes;
mod settings;
mod spool;
mod status;
mod symbols;
mod thin;
mod uploads;
mod worker;

pub use config::notify::{Notify, Target, TargetKind};
pub use config::retention::{Retention, Share};
pub use config::symbols::{Server, Symbols};
pub use config::web::Web;
pub use config::{Config, ConfigError, RulesConfig};
pub use daemon::{Daemon, DaemonError, Event};
pub use governor::Governed;
pub use import::{Claims, Import, ImportError};
pub use notify::{TargetStatus, TestResult};
pub use regroup::{RegroupError, RegroupStatus};
pub use retention::{GivenUp, Prune, RetentionStatus, What};
pub use rules::load::{Problem as RuleProblem, RuleSet};
pub use rules::{RuleChange, RuleStatus, RulesOutcome, RulesRun, RulesStatus, ScriptMistake};
pub use settings::Setting;
pub use status::{DaemonStatus, EngineStatus};
pub use symbols::{ServerStatus, SymbolsStatus, Uploaded};
pub use uploads::{Upload, UploadError, Whole};

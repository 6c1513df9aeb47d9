//! Reads the configuration: `/etc/aground/config.toml`, then `AGROUND_*`.

pub mod notify;
pub mod retention;
pub mod symbols;
pub mod web;

use aground_analyzer::group::Rules;
use aground_helper::layout::CAPTURE;
use aground_helper::settings::Settings;
use notify::Notify;
use retention::Retention;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::{fs, io};
use symbols::Symbols;
use web::Web;

/// Configuration: `/etc/aground/config.toml` < `AGROUND_*` < flags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// State directory.
    pub state_dir: PathBuf,
    /// Runtime directory: `api.sock` is below it.
    pub runtime_dir: PathBuf,
    /// TCP address of API and pages; loopback unless changed.
    pub listen: std::net::SocketAddr,
    /// TCP address where profiles of the service can be taken; loopback. `None`: nowhere.
    pub debug_listen: Option<std::net::SocketAddr>,
    /// Analyzer program; `None`: `aground-analyzer` beside the running program.
    pub analyzer: Option<PathBuf>,
    /// The helper's program, which also makes stored cores lean; `None`: `aground-collect` beside
    /// the running program.
    pub collect: Option<PathBuf>,
    /// Seconds one analysis may take.
    pub analysis_seconds: u64,
    /// Bytes of address space one analysis may take.
    pub analysis_memory: u64,
    /// Analyses at the same time.
    pub workers: usize,
    /// How much is kept, and for how long.
    pub retention: Retention,
    /// What to keep of which crash: handed to the helper in the state directory.
    pub capture: Settings,
    /// Cores that are taken in from directories.
    pub import: Import,
    /// Engines that are asked for what is not on disk.
    pub runtimes: Runtimes,
    /// Files of symbols: where they are fetched, and how much of them is kept.
    pub symbols: Symbols,
    /// Who is told of what changes.
    pub notify: Notify,
    /// Rules for known bugs, and scripts.
    pub rules: RulesConfig,
    /// How crashes are grouped.
    pub grouping: Grouping,
    /// Who may come by TCP, and how.
    pub web: Web,
}

/// Rules for known bugs, and scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RulesConfig {
    /// Where `*.toml` and `*.rhai` files are; it may be absent.
    pub directory: Option<PathBuf>,
    /// Whether those that come with the program are used.
    pub shipped: bool,
    /// Seconds that the scripts of one dump may take together.
    pub seconds: u64,
    /// Bytes of memory that they may take.
    pub memory: u64,
}

impl Default for RulesConfig {
    fn default() -> Self {
        Self {
            directory: Some("/etc/aground/rules.d".into()),
            shipped: true,
            seconds: 5,
            memory: 256 << 20,
        }
    }
}

/// How crashes are grouped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grouping {
    /// File of rules that are asked before those that come with the program.
    pub rules: Option<PathBuf>,
}

impl Grouping {
    /// The rules to sign by.
    pub(crate) fn rules(&self) -> Result<Rules, ConfigError> {
        let Some(path) = &self.rules else {
            return Ok(Rules::default());
        };
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.clone(),
            source,
        })?;
        Rules::with_own(&text).map_err(|error| ConfigError::File {
            path: path.clone(),
            line: error.line,
            message: error.problem,
        })
    }
}

/// Engines that are asked for what is not on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Runtimes {
    /// Docker's socket; empty: it is not asked.
    pub docker: PathBuf,
    /// Sockets of runtimes that speak CRI; those that are not there are passed over.
    pub cri: Vec<PathBuf>,
}

impl Default for Runtimes {
    fn default() -> Self {
        Self {
            docker: "/run/docker.sock".into(),
            cri: [
                "/run/containerd/containerd.sock",
                "/run/crio/crio.sock",
                "/run/k3s/containerd/containerd.sock",
            ]
            .map(PathBuf::from)
            .to_vec(),
        }
    }
}

/// Cores that are taken in from directories.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Import {
    /// Directories; what appears in them is imported, once.
    pub watch: Vec<PathBuf>,
    /// Whether a file is removed when it was imported.
    pub remove: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: aground_helper::layout::STATE_DIR.into(),
            runtime_dir: aground_helper::layout::RUNTIME_DIR.into(),
            listen: ([127, 0, 0, 1], 7400).into(),
            debug_listen: None,
            analyzer: None,
            collect: None,
            analysis_seconds: 120,
            analysis_memory: 4 << 30,
            workers: 1,
            retention: Retention::default(),
            capture: Settings::default(),
            import: Import::default(),
            runtimes: Runtimes::default(),
            symbols: Symbols::default(),
            notify: Notify::default(),
            rules: RulesConfig::default(),
            grouping: Grouping::default(),
            web: Web::default(),
        }
    }
}

/// Why the configuration cannot be used, on one line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{path}: line {line}: {message}")]
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A variable of the environment is not what it should be.
    #[error("{name}: cannot use \"{value}\": {message}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        message: String,
    },
    /// A value makes no sense.
    #[error("{name} must be {expected}")]
    Value {
        /// The key.
        name: &'static str,
        /// What it could be.
        expected: &'static str,
    },
}

impl Config {
    /// Read when no file is named; it may be absent.
    pub const DEFAULT_PATH: &str = "/etc/aground/config.toml";

    /// Reads the file (the default one may be absent), then the environment.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load_with(path, |name| std::env::var(name).ok())
    }

    fn load_with(
        path: Option<&Path>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut config = match path {
            Some(path) => Self::read(path)?,
            None if Path::new(Self::DEFAULT_PATH).exists() => {
                Self::read(Path::new(Self::DEFAULT_PATH))?
            }
            None => Self::default(),
        };
        config.apply(variable)?;
        config.checked()
    }

    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|error: toml::de::Error| {
            let before = error
                .span()
                .and_then(|span| text.get(..span.start))
                .unwrap_or_default();
            let message = error
                .message()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            ConfigError::File {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
                message,
            }
        })
    }

    fn apply(&mut self, variable: impl Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
        set(&mut self.state_dir, "AGROUND_STATE_DIR", &variable)?;
        set(&mut self.runtime_dir, "AGROUND_RUNTIME_DIR", &variable)?;
        set(&mut self.listen, "AGROUND_LISTEN", &variable)?;
        set(
            &mut self.analysis_seconds,
            "AGROUND_ANALYSIS_SECONDS",
            &variable,
        )?;
        set(
            &mut self.analysis_memory,
            "AGROUND_ANALYSIS_MEMORY",
            &variable,
        )?;
        set(&mut self.workers, "AGROUND_WORKERS", &variable)?;
        let retention = &mut self.retention;
        set(
            &mut retention.max_bytes,
            "AGROUND_RETENTION_MAX_BYTES",
            &variable,
        )?;
        set(
            &mut retention.min_free,
            "AGROUND_RETENTION_MIN_FREE",
            &variable,
        )?;
        set_some(
            &mut retention.max_age,
            "AGROUND_RETENTION_MAX_AGE",
            &variable,
        )?;
        set_some(
            &mut retention.memory_age,
            "AGROUND_RETENTION_MEMORY_AGE",
            &variable,
        )?;
        set(
            &mut retention.per_group,
            "AGROUND_RETENTION_PER_GROUP",
            &variable,
        )?;
        set(
            &mut retention.reserve,
            "AGROUND_RETENTION_RESERVE",
            &variable,
        )?;
        set(
            &mut self.symbols.max_bytes,
            "AGROUND_SYMBOLS_MAX_BYTES",
            &variable,
        )?;
        let capture = &mut self.capture;
        set(&mut capture.policy, "AGROUND_CAPTURE_POLICY", &variable)?;
        set(&mut capture.full_max, "AGROUND_CAPTURE_FULL_MAX", &variable)?;
        set(&mut capture.lean_max, "AGROUND_CAPTURE_LEAN_MAX", &variable)?;
        set(&mut capture.hold_max, "AGROUND_CAPTURE_HOLD_MAX", &variable)?;
        if let Some(analyzer) = variable("AGROUND_ANALYZER") {
            self.analyzer = Some(analyzer.into());
        }
        if let Some(collect) = variable("AGROUND_COLLECT") {
            self.collect = Some(collect.into());
        }
        Ok(())
    }

    /// Hands the `[capture]` section to the helper, which reads it at the next crash.
    pub(crate) fn hand_over_capture(&self) -> io::Result<()> {
        let path = self.state_dir.join(CAPTURE);
        let new = self.state_dir.join(format!("{CAPTURE}.new"));
        let mut text = serde_json::to_vec_pretty(&self.capture)?;
        text.push(b'\n');
        fs::write(&new, text)?;
        fs::rename(new, path)
    }

    fn checked(self) -> Result<Self, ConfigError> {
        let wrong = |name, expected| Err(ConfigError::Value { name, expected });
        self.notify.check()?;
        self.web.check()?;
        self.grouping.rules()?;
        match &self {
            config if config.workers == 0 || config.workers > 256 => {
                wrong("workers", "between 1 and 256")
            }
            config if config.debug_listen.is_some_and(|to| !to.ip().is_loopback()) => {
                wrong("debug_listen", "an address of loopback")
            }
            config if config.analysis_seconds == 0 => wrong("analysis_seconds", "at least 1"),
            config if config.analysis_memory < 64 << 20 => {
                wrong("analysis_memory", "at least 67108864 (64 MiB)")
            }
            config if config.capture != config.capture.clone().bounded() => wrong(
                "hold_max",
                "at most 10m, and the rules of [capture] at most 1000",
            ),
            config if !config.state_dir.is_absolute() => wrong("state_dir", "an absolute path"),
            config if !config.import.watch.iter().all(|path| path.is_absolute()) => {
                wrong("watch", "a list of absolute paths")
            }
            config if !(1..=86_400).contains(&config.symbols.fetch_seconds) => {
                wrong("fetch_seconds", "between 1 and 86400")
            }
            config if config.rules.seconds == 0 || config.rules.memory < 32 << 20 => wrong(
                "[rules]",
                "at least 1 second and 33554432 bytes (32 MiB) for scripts",
            ),
            config if !config.runtime_dir.is_absolute() => wrong("runtime_dir", "an absolute path"),
            _ => Ok(self),
        }
    }
}

/// Takes a value from the environment when it is there.
fn set<T>(
    field: &mut T,
    name: &'static str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(), ConfigError>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    if let Some(value) = variable(name) {
        *field = match value.parse() {
            Ok(parsed) => parsed,
            Err(error) => {
                return Err(ConfigError::Variable {
                    name,
                    message: error.to_string(),
                    value,
                });
            }
        };
    }
    Ok(())
}

/// The same for a value that may be absent.
fn set_some<T>(
    field: &mut Option<T>,
    name: &'static str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(), ConfigError>
where
    T: Default + std::str::FromStr<Err: std::fmt::Display>,
{
    if variable(name).is_some() {
        set(field.get_or_insert_default(), name, variable)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        fs::write(&path, text).unwrap();
        let variable = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        let shown =
            |error: ConfigError| error.to_string().replace(&path.display().to_string(), "F");
        Config::load_with(Some(&path), variable).map_err(shown)
    }

    #[test]
    fn the_environment_wins_over_the_file_and_the_file_over_defaults() {
        assert_eq!(load("", &[]), Ok(Config::default()));
        let config = load(
            "workers = 2\nlisten = \"127.0.0.1:80\"",
            &[("AGROUND_WORKERS", "3")],
        )
        .unwrap();
        assert_eq!((config.workers, config.listen.port()), (3, 80));
        let config = load(
            "",
            &[("AGROUND_ANALYZER", "/x"), ("AGROUND_STATE_DIR", "/y")],
        )
        .unwrap();
        assert_eq!(
            (config.analyzer, config.state_dir),
            (Some("/x".into()), "/y".into())
        );
    }

    #[test]
    fn wrong_configurations_are_told_on_one_line() {
        let check = |text: &str, variables: &[(&str, &str)], expected: &str| {
            let error = load(text, variables).unwrap_err();
            assert!(
                error.starts_with(expected) && !error.contains('\n'),
                "{error}"
            );
        };
        check(
            "workers = 1\nworker = 2",
            &[],
            "F: line 2: unknown field `worker`, expected one of `state_dir`",
        );
        check(
            "workers = \"two\"",
            &[],
            "F: line 1: invalid type: string \"two\"",
        );
        check("workers = ", &[], "F: line 1: ");
        check(
            "[capture]\npolicy = \"everything\"",
            &[],
            "F: line 2: unknown variant `everything`, expected one of `full`, `lean`",
        );
        check(
            "[capture]\nfull_max = \"big\"",
            &[],
            "F: line 2: \"big\" is not a size such as 512MiB or 2GB",
        );
        check(
            "[[capture.rule]]\nimages = \"x\"",
            &[],
            "F: line 2: unknown field `images`, expected one of `image`",
        );
        check(
            "[capture.forward]\nhost = \"maybe\"",
            &[],
            "F: line 2: unknown variant `maybe`, expected one of `no`, `also`, `instead`",
        );
        check(
            "[capture]\nhold_max = \"1h\"",
            &[],
            "hold_max must be at most 10m",
        );
        check(
            "",
            &[("AGROUND_CAPTURE_FULL_MAX", "big")],
            "AGROUND_CAPTURE_FULL_MAX: cannot use \"big\"",
        );
        check("workers = 0", &[], "workers must be between 1 and 256");
        check(
            "state_dir = \"here\"",
            &[],
            "state_dir must be an absolute path",
        );
        check(
            "",
            &[("AGROUND_WORKERS", "x")],
            "AGROUND_WORKERS: cannot use \"x\": invalid digit",
        );
        check(
            "",
            &[("AGROUND_LISTEN", "7400")],
            "AGROUND_LISTEN: cannot use \"7400\": invalid socket address",
        );
        let absent = Config::load(Some(Path::new("/nowhere/config.toml"))).unwrap_err();
        assert_eq!(absent.to_string(), "cannot read /nowhere/config.toml");
    }
}

//! Reads the rule files and holds frames against them.
//!
//! Those in `rules/` belong to the version of the signature. A service may have a file of its own,
//! which is asked first: lines of an action, a function, a module, and why.

use sha2::{Digest, Sha256};
use std::sync::OnceLock;

/// The most lines of rules that a service may have of its own.
const OWN_MAX: usize = 2000;

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It counts as the application's own, whatever other rules say.
    Keep,
    /// It does not count.
    Drop,
    /// Neither it nor what it calls counts.
    Library,
    /// It counts, but its caller must be the same too.
    Helper,
    /// It is not the application's own code, and counts only when nothing else is there.
    System,
}

impl Action {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "keep" => Action::Keep,
            "drop" => Action::Drop,
            "helper" => Action::Helper,
            "system" => Action::System,
            _ => return None,
        })
    }
}

/// A line of a rule file.
#[derive(Clone, Debug)]
struct Rule {
    function: String,
    module: String,
}

/// The rules of one file of ours.
struct RuleSet {
    name: &'static str,
    action: Action,
    rules: Vec<Rule>,
}

/// All rules that signatures are made by.
#[derive(Debug, Default)]
pub struct Rules {
    own: Vec<(Action, Rule)>,
    digest: String,
}

/// A line of a rules file that is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct RuleError {
    /// From 1.
    pub line: usize,
    /// What is wrong, and what it could have been.
    pub problem: String,
}

impl Rules {
    /// Those that come with this version.
    pub fn built_in() -> &'static Self {
        static NONE: OnceLock<Rules> = OnceLock::new();
        NONE.get_or_init(Rules::default)
    }

    /// Those, and before them the lines of a service's own file: `action  function  module  # why`.
    pub fn with_own(text: &str) -> Result<Self, RuleError> {
        let mut own = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let failed = |problem: String| RuleError { line, problem };
            if let Some(rule) = parse_own(text).map_err(failed)? {
                own.push(rule);
            }
            if own.len() > OWN_MAX {
                return Err(failed(format!("more than {OWN_MAX} rules")));
            }
        }
        let digest = if own.is_empty() {
            String::new()
        } else {
            digest(&own)
        };
        Ok(Rules { own, digest })
    }

    /// Tells these rules from others of the same version; empty without rules of its own.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What becomes of a normalized function in a module, and the rule that says so, in words for
    /// a person.
    pub(super) fn matching(
        &self,
        function: &str,
        module: Option<&str>,
    ) -> Option<(Action, String)> {
        let own = self
            .own
            .iter()
            .find(|(_, rule)| rule.matches(function, module));
        if let Some((action, rule)) = own {
            return Some((*action, rule.told("own rule")));
        }
        let sets = [library(), plumbing(), startup(), system(), helpers()];
        sets.into_iter().find_map(|set| {
            let rule = set.matching(function, module)?;
            Some((set.action, rule.told(set.name)))
        })
    }
}

/// Two files that say the same have the same digest, whatever their comments.
fn digest(own: &[(Action, Rule)]) -> String {
    let mut hasher = Sha256::new();
    for (action, rule) in own {
        hasher.update(format!("{action:?} {}  {}\n", rule.function, rule.module));
    }
    let mut hash = format!("{:x}", hasher.finalize());
    hash.truncate(16);
    hash
}

impl RuleSet {
    fn parse(name: &'static str, action: Action, text: &str) -> Self {
        RuleSet {
            name,
            action,
            rules: text.lines().filter_map(parse_line).collect(),
        }
    }

    fn matching(&self, function: &str, module: Option<&str>) -> Option<&Rule> {
        self.rules
            .iter()
            .find(|rule| rule.matches(function, module))
    }
}

impl Rule {
    fn matches(&self, function: &str, module: Option<&str>) -> bool {
        let module_matches = match module {
            Some(path) => glob(&self.module, file_name(path)),
            None => self.module == "*",
        };
        module_matches && glob(&self.function, function)
    }

    fn told(&self, file: &str) -> String {
        format!("{file}: {} in {}", self.function, self.module)
    }
}

/// A line without its comment; nothing for blank lines.
fn without_comment(line: &str) -> Option<&str> {
    let rule = line.split_once(" #").map_or(line, |(rule, _)| rule).trim();
    (!rule.is_empty() && !rule.starts_with('#')).then_some(rule)
}

/// `function  module  # why`; nothing for blank lines and comments.
fn parse_line(line: &str) -> Option<Rule> {
    let (function, module) = without_comment(line)?.rsplit_once(' ')?;
    Some(Rule {
        function: function.trim_end().to_owned(),
        module: module.to_owned(),
    })
}

/// `action  function  module  # why`.
fn parse_own(line: &str) -> Result<Option<(Action, Rule)>, String> {
    let Some(text) = without_comment(line) else {
        return Ok(None);
    };
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let action = Action::parse(word)
        .ok_or_else(|| format!("\"{word}\" is no action: write keep, drop, helper or system"))?;
    let rule = parse_line(rest)
        .filter(|rule| !rule.function.is_empty())
        .ok_or("a rule is an action, a function and the file name of a module, such as: drop  my_fatal*  libcommon.so*")?;
    if action == Action::Drop && rule.function.chars().all(|c| c == '*') {
        return Err(
            "a rule that drops names its functions; for whole modules write system".to_owned(),
        );
    }
    Ok(Some((action, rule)))
}

fn library() -> &'static RuleSet {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    let text = include_str!("../../rules/library.txt");
    RULES.get_or_init(|| RuleSet::parse("library", Action::Library, text))
}

fn plumbing() -> &'static RuleSet {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    let text = include_str!("../../rules/plumbing.txt");
    RULES.get_or_init(|| RuleSet::parse("plumbing", Action::Drop, text))
}

fn startup() -> &'static RuleSet {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    let text = include_str!("../../rules/startup.txt");
    RULES.get_or_init(|| RuleSet::parse("startup", Action::Drop, text))
}

fn system() -> &'static RuleSet {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    let text = include_str!("../../rules/system.txt");
    RULES.get_or_init(|| RuleSet::parse("system", Action::System, text))
}

fn helpers() -> &'static RuleSet {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    let text = include_str!("../../rules/helpers.txt");
    RULES.get_or_init(|| RuleSet::parse("helpers", Action::Helper, text))
}

/// Whether a function carries a failure to the kernel, whatever module it is in.
pub(crate) fn is_plumbing(function: &str) -> bool {
    let name = super::normalize(function);
    let mut rules = [library(), plumbing()]
        .into_iter()
        .flat_map(|set| &set.rules);
    rules.any(|rule| glob(&rule.function, &name))
}

/// Whether a frame belongs to the application rather than to a system library or a language's run
/// time. An executable is the application's own wherever it lies (`/usr/lib/postgresql/…`); a
/// shared library below `/lib` or `/usr/lib` is the distribution's.
pub fn in_app(module: Option<&str>, function: Option<&str>) -> bool {
    if module.is_some_and(is_distribution_library) {
        return false;
    }
    let function = function.map(super::normalize).unwrap_or_default();
    system().matching(&function, module).is_none()
}

fn is_distribution_library(path: &str) -> bool {
    let below = ["/lib", "/usr/lib"].iter().any(|root| {
        path.strip_prefix(root)
            .is_some_and(|rest| rest.starts_with(['/', '3', '6', 'x']))
    });
    let name = file_name(path);
    below && (name.strip_suffix(".so").is_some() || name.contains(".so."))
}

/// The last component of a path.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether `text` has the form of `pattern`, in which `*` stands for any text. Time is at most
/// the product of both lengths: it goes back only to the last `*`.
fn glob(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else {
            return false;
        };
        rest = after;
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn globs() {
        let check =
            |pattern, text, expected| assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        check("abort", "abort", true);
        check("abort", "abort2", false);
        check("std::*", "std::sort", true);
        check("*_chk", "__memcpy_chk", true);
        check("__*_chk", "__chk", false);
        check("a*b*c", "a_b_b_c", true);
        check("a*b*c", "a_c_b", false);
        check("*", "", true);
        check("ab*ba", "aba", false);
    }

    #[test]
    fn every_rule_line_is_understood() {
        for set in [library(), plumbing(), startup(), system(), helpers()] {
            assert!(set.rules.len() > 10, "{}", set.name);
            for rule in &set.rules {
                assert!(!rule.function.is_empty() && !rule.module.is_empty());
                assert!(
                    !rule.module.contains('#') && !rule.function.contains("  "),
                    "{}",
                    rule.function
                );
            }
        }
    }

    #[test]
    fn a_users_function_is_never_taken_for_plumbing() {
        let check = |function: &str| {
            let found = Rules::built_in().matching(function, Some("/app/server"));
            assert_eq!(found, None, "{function}");
            assert!(in_app(Some("/app/server"), Some(function)), "{function}");
        };
        for function in [
            "free_list_add",
            "NewSession",
            "abort_transaction",
            "malloc_stats_report",
            "alloc_page",
            "coreutils_main",
            "starting",
            "clone",
            "start",
            "main",
            "mylogger_assert",
            "get_meta",
            "printf_core",
            "free_list",
        ] {
            check(function);
        }
    }

    #[test]
    fn own_rules_come_first_and_mistakes_are_told() {
        let rules = Rules::with_own(
            "# ours\n\nkeep  std::sort  server  # we patch it\nhelper list_append *\ndrop operator new[]  *\nsystem  *  libvendor.so*",
        )
        .unwrap();
        let action = |function, module| Some(rules.matching(function, Some(module))?.0);
        assert_eq!(action("std::sort", "/app/server"), Some(Action::Keep));
        assert_eq!(action("std::sort", "/app/other"), Some(Action::System));
        assert_eq!(action("list_append", "/app/server"), Some(Action::Helper));
        assert_eq!(
            action("anything", "/opt/libvendor.so.3"),
            Some(Action::System)
        );
        assert_eq!(action("anything", "/app/server"), None);
        let same = Rules::with_own(
            "keep std::sort  server\nhelper  list_append  *\ndrop  operator new[] *\nsystem * libvendor.so*",
        );
        assert_eq!(same.unwrap().digest(), rules.digest());
        assert_eq!(Rules::with_own("# nothing\n").unwrap().digest(), "");
        let check = |text: &str, told: &str| {
            let error = Rules::with_own(text).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        };
        check("keep a *\nforget b *", "line 2: \"forget\" is no action");
        check("drop abort", "line 1: a rule is an action");
        check("drop * server", "line 1: a rule that drops");
        check(&"keep a *\n".repeat(OWN_MAX + 1), "line 2001: more than");
    }

    #[test]
    fn whose_code_it_is() {
        let check = |module, function, expected| {
            assert_eq!(
                in_app(module, function),
                expected,
                "{module:?} {function:?}"
            );
        };
        check(Some("/app/server"), Some("parse_header"), true);
        check(Some("/app/server"), None, true);
        check(None, None, true);
        check(
            Some("/usr/bin/python3.11"),
            Some("_PyEval_EvalFrameDefault"),
            true,
        );
        check(
            Some("/usr/lib/postgresql/15/bin/postgres"),
            Some("ExecScan"),
            true,
        );
        check(
            Some("/lib/x86_64-linux-gnu/libc.so.6"),
            Some("strlen"),
            false,
        );
        check(Some("/usr/lib/x86_64-linux-gnu/libssl.so.3"), None, false);
        check(Some("/lib64/ld-linux-x86-64.so.2"), None, false);
        check(Some("/usr/local/lib/libshop.so.1"), Some("checkout"), true);
        check(Some("/library/app"), Some("main"), true);
        check(
            Some("/app/server"),
            Some("core::panicking::panic_fmt"),
            false,
        );
        check(
            Some("/app/server"),
            Some("<alloc::vec::Vec<u8> as core::fmt::Debug>::fmt"),
            false,
        );
        check(
            Some("/app/server"),
            Some("panic_abort::__rust_start_panic"),
            false,
        );
        check(Some("/app/server"), Some("runtime.gopanic"), false);
        check(Some("/app/server"), Some("main.(*Server).handle"), true);
        check(Some("[vdso]"), Some("__vdso_gettimeofday"), false);
    }
}

//! Reads the rule files and holds frames against them.

use std::sync::OnceLock;

/// A line of a rule file.
struct Rule {
    function: &'static str,
    module: &'static str,
}

/// The rules of one file.
pub(super) struct RuleSet {
    name: &'static str,
    rules: Vec<Rule>,
}

impl RuleSet {
    fn parse(name: &'static str, text: &'static str) -> Self {
        let rules = text.lines().filter_map(parse_line).collect();
        RuleSet { name, rules }
    }

    /// The rule that matches a normalized function name in a module, in words for a person.
    pub(super) fn matching(&self, function: &str, module: Option<&str>) -> Option<String> {
        let found = self
            .rules
            .iter()
            .find(|rule| rule.matches(function, module))?;
        Some(format!(
            "{}: {} in {}",
            self.name, found.function, found.module
        ))
    }
}

impl Rule {
    fn matches(&self, function: &str, module: Option<&str>) -> bool {
        let module_matches = match module {
            Some(path) => glob(self.module, file_name(path)),
            None => self.module == "*",
        };
        module_matches && glob(self.function, function)
    }
}

/// `function  module  # why`; nothing for blank lines and comments.
fn parse_line(line: &'static str) -> Option<Rule> {
    let rule = line.split_once(" #").map_or(line, |(rule, _)| rule);
    if rule.trim().is_empty() || rule.starts_with('#') {
        return None;
    }
    let (function, module) = rule.trim_end().rsplit_once(' ')?;
    Some(Rule {
        function: function.trim_end(),
        module,
    })
}

pub(super) fn plumbing() -> &'static RuleSet {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    RULES.get_or_init(|| RuleSet::parse("plumbing", include_str!("../../rules/plumbing.txt")))
}

pub(super) fn startup() -> &'static RuleSet {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    RULES.get_or_init(|| RuleSet::parse("startup", include_str!("../../rules/startup.txt")))
}

fn system() -> &'static RuleSet {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    RULES.get_or_init(|| RuleSet::parse("system", include_str!("../../rules/system.txt")))
}

/// Whether a function carries a failure to the kernel, whatever module it is in.
pub(crate) fn is_plumbing(function: &str) -> bool {
    let name = super::normalize(function);
    plumbing()
        .rules
        .iter()
        .any(|rule| glob(rule.function, &name))
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
        for set in [plumbing(), startup(), system()] {
            assert!(set.rules.len() > 15, "{}", set.name);
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
            assert_eq!(
                plumbing().matching(function, Some("/app/server")),
                None,
                "{function}"
            );
            assert_eq!(
                startup().matching(function, Some("/app/server")),
                None,
                "{function}"
            );
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
        ] {
            check(function);
        }
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

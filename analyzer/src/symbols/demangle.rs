//! Turns linker names into the names people wrote.

/// Longer names are shown as they are: they are either hostile or unreadable anyway.
const NAME_MAX: usize = 16 << 10;

/// The readable name: Rust without its hash, C++ without parameters and return type, as
/// debuggers show them in stacks. Any other name is returned as it is, Go's included.
pub fn demangle(name: &str) -> String {
    if name.len() > NAME_MAX {
        return name.to_owned();
    }
    rust(name)
        .or_else(|| cpp(name))
        .unwrap_or_else(|| name.to_owned())
}

fn rust(name: &str) -> Option<String> {
    let demangled = rustc_demangle::try_demangle(name).ok()?;
    let legacy = name.trim_start_matches('_').starts_with("ZN");
    // A C++ name has the legacy shape too; only Rust's ends in a hash.
    let hashed = || {
        let text = format!("{demangled}");
        text.rsplit_once("::h").is_some_and(|(_, hash)| {
            hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit())
        })
    };
    (!legacy || hashed()).then(|| format!("{demangled:#}"))
}

fn cpp(name: &str) -> Option<String> {
    if !name.starts_with("_Z") && !name.starts_with("__Z") {
        return None;
    }
    // Suffixes that compilers add to parts of a function (`.cold`, `.constprop.0`).
    let (mangled, suffix) = match name.split_once('.') {
        Some((mangled, suffix)) => (mangled, Some(suffix)),
        None => (name, None),
    };
    let symbol = cpp_demangle::Symbol::new(mangled).ok()?;
    let options = cpp_demangle::DemangleOptions::new()
        .no_params()
        .no_return_type();
    let text = symbol.demangle_with_options(&options).ok()?;
    Some(match suffix {
        Some(suffix) => format!("{text} [clone .{suffix}]"),
        None => text,
    })
}

#[cfg(test)]
mod tests {
    use super::demangle;

    #[track_caller]
    fn check(name: &str, expected: &str) {
        assert_eq!(demangle(name), expected);
    }

    #[test]
    fn names() {
        check("main", "main");
        check("main.(*T).Method", "main.(*T).Method");
        check(
            "_ZN4core9panicking9panic_fmt17h0123456789abcdefE",
            "core::panicking::panic_fmt",
        );
        check(
            "_ZNSt6vectorIiSaIiEE2atEm",
            "std::vector<int, std::allocator<int> >::at",
        );
        check("_Z3fooi", "foo");
        check("_Z3fooi.cold", "foo [clone .cold]");
        check("_RNvCs1234_7mycrate3foo", "mycrate::foo");
        check("_Znot_a_name", "_Znot_a_name");
    }
}

//! Folds what differs between builds of one function out of its name.

/// The longest name that is looked at, bytes; demangled names of hostile symbols can be endless.
const MAX_NAME: usize = 2048;

/// Suffixes compilers give to pieces and copies of a function; each may end in `.<digits>`.
const CLONES: [&str; 9] = [
    ".cold",
    ".part",
    ".constprop",
    ".isra",
    ".lto_priv",
    ".llvm",
    ".localalias",
    ".specialized",
    ".outlined",
];

/// The name of a function without what varies: arguments, template arguments, hashes, clone
/// suffixes, symbol versions, numbers of closures, CPU variants of string functions.
pub fn normalize(name: &str) -> String {
    let name = name
        .get(..name.floor_char_boundary(MAX_NAME))
        .unwrap_or(name);
    let name = name.split_once('@').map_or(name, |(before, _)| before);
    let name = name
        .split_once(" [clone")
        .map_or(name, |(before, _)| before);
    let name = strip_rust_hash(strip_clones(name));
    if is_go(name) {
        return fold_go_closure(name).to_owned();
    }
    let folded = fold(name);
    cpu_variant(without_return_type(&folded)).to_owned()
}

fn strip_clones(mut name: &str) -> &str {
    loop {
        let bare = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let bare = bare.strip_suffix('.').unwrap_or(name);
        let Some(shorter) = CLONES.iter().find_map(|clone| bare.strip_suffix(clone)) else {
            return name;
        };
        name = shorter;
    }
}

/// `::h0123456789abcdef`, which legacy Rust mangling adds.
fn strip_rust_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((before, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            before
        }
        _ => name,
    }
}

/// Go separates packages and methods by dots and has no `::`.
fn is_go(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    !name.contains("::") && !name.starts_with('.') && last.contains('.') && !last.contains(' ')
}

/// `main.serve.func2.1` is the same closure as `main.serve.func1` after an edit above it.
fn fold_go_closure(name: &str) -> &str {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    match stem.strip_suffix(".func") {
        Some(_) => stem,
        None => name,
    }
}

/// Position of the bracket that closes one already open.
fn closing(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 1_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth = depth.saturating_add(1);
        } else if c == close && !text.get(..at)?.ends_with('-') {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

/// Walks the name once: `<…>` becomes `<T>`, `{…}` loses its number, arguments end it.
fn fold(name: &str) -> String {
    let mut folded = String::new();
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        rest = match c {
            '<' if is_operator(&folded) => push(&mut folded, c, after),
            '<' => fold_angle(&mut folded, after),
            '{' => fold_brace(&mut folded, after),
            '[' => fold_square(&mut folded, after),
            '(' if after.starts_with("anonymous namespace)") => push(&mut folded, c, after),
            '(' if folded.ends_with("operator") && after.starts_with(')') => {
                folded.push_str("()");
                after.get(1..).unwrap_or_default()
            }
            '(' => "",
            _ => push(&mut folded, c, after),
        };
    }
    folded.trim_end().to_owned()
}

fn push<'a>(folded: &mut String, c: char, after: &'a str) -> &'a str {
    folded.push(c);
    after
}

fn is_operator(folded: &str) -> bool {
    folded.ends_with("operator") || folded.ends_with("operator<")
}

/// Template or generic arguments. At the head of a Rust path `<Type as Trait>` names the type.
fn fold_angle<'a>(folded: &mut String, after: &'a str) -> &'a str {
    let Some(close) = closing(after, '<', '>') else {
        return "";
    };
    let inner = after.get(..close).unwrap_or_default();
    if folded.is_empty() {
        let subject = inner
            .split_once(" as ")
            .map_or(inner, |(subject, _)| subject);
        folded.push_str(&fold(subject));
    } else {
        folded.push_str("<T>");
    }
    after.get(close.saturating_add(1)..).unwrap_or_default()
}

/// `{lambda(int)#2}`, `{{closure}}`, `{closure#0}`, `{impl#3}`: the word without number and arguments.
fn fold_brace<'a>(folded: &mut String, after: &'a str) -> &'a str {
    let Some(close) = closing(after, '{', '}') else {
        return "";
    };
    let inner = after.get(..close).unwrap_or_default();
    let word = inner.trim_matches(|c: char| c == '{' || c == '}');
    let word = word.split(['(', '#']).next().unwrap_or(word);
    folded.push('{');
    folded.push_str(word);
    folded.push('}');
    after.get(close.saturating_add(1)..).unwrap_or_default()
}

/// `core[0123456789abcdef]` of Rust's v0 mangling, `f[abi:cxx11]` of C++; `operator new[]` stays.
fn fold_square<'a>(folded: &mut String, after: &'a str) -> &'a str {
    let Some(close) = closing(after, '[', ']') else {
        return "";
    };
    if close == 0 {
        folded.push_str("[]");
    }
    after.get(close.saturating_add(1)..).unwrap_or_default()
}

/// `void run<T>` is `run<T>`: C++ demanglers print return types of templates.
fn without_return_type(name: &str) -> &str {
    let before_operator = name.find("operator").unwrap_or(name.len());
    let head = name.get(..before_operator).unwrap_or(name);
    let head = head.replace("(anonymous namespace)", "(anonymous-namespace)");
    let start = head.rfind(' ').map_or(0, |space| space.saturating_add(1));
    name.get(start..).unwrap_or(name)
}

/// `__memcpy_avx_unaligned_erms` is `memcpy` on this CPU.
fn cpu_variant(name: &str) -> &str {
    const VARIANTS: [&str; 6] = ["_sse", "_ssse", "_avx", "_evex", "_erms", "_generic"];
    let Some(bare) = name.strip_prefix("__") else {
        return name;
    };
    if !bare.starts_with("mem") && !bare.starts_with("str") && !bare.starts_with("wcs") {
        return name;
    }
    let cut = VARIANTS
        .iter()
        .filter_map(|variant| bare.find(variant))
        .min();
    cut.and_then(|at| bare.get(..at)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_varies_is_folded() {
        let check = |name: &str, expected: &str| assert_eq!(normalize(name), expected, "{name}");
        check("parse_header", "parse_header");
        check("parse_header.part.0", "parse_header");
        check("parse_header.constprop.0.isra.3", "parse_header");
        check("parse_header.cold", "parse_header");
        check("update.lto_priv.0", "update");
        check("memcpy@@GLIBC_2.14", "memcpy");
        check("foo(int) [clone .cold]", "foo");
        check("__memcpy_avx_unaligned_erms", "memcpy");
        check("__strlen_evex", "strlen");
        check(
            "shop::Cart::total(std::vector<int, std::allocator<int> > const&) const",
            "shop::Cart::total",
        );
        check("void shop::run<shop::Cart, 3>(shop::Cart&)", "shop::run<T>");
        check(
            "(anonymous namespace)::charge(int)",
            "(anonymous namespace)::charge",
        );
        check(
            "main::{lambda(int)#2}::operator()(int) const",
            "main::{lambda}::operator()",
        );
        check(
            "std::ostream& std::operator<< <std::char_traits<char> >(std::ostream&, char const*)",
            "std::operator<< <T>",
        );
        check("operator new[](unsigned long)", "operator new[]");
        check("shop::Ptr::operator->() const", "shop::Ptr::operator->");
        check(
            "std::__cxx11::basic_string<char>::at[abi:cxx11](unsigned long)",
            "std::__cxx11::basic_string<T>::at",
        );
        check("shop::cart::add::h0123456789abcdef", "shop::cart::add");
        check("<shop::Cart as core::fmt::Display>::fmt", "shop::Cart::fmt");
        check(
            "<alloc::vec::Vec<u8> as core::ops::Index<usize>>::index",
            "alloc::vec::Vec<T>::index",
        );
        check(
            "core[5f1c9c2f8a7d3e10]::option::Option<u32>::unwrap",
            "core::option::Option<T>::unwrap",
        );
        check("shop::serve::{{closure}}", "shop::serve::{closure}");
        check("shop::serve::{closure#3}", "shop::serve::{closure}");
        check(
            "core::ops::function::FnOnce::call_once{{vtable.shim}}",
            "core::ops::function::FnOnce::call_once{vtable.shim}",
        );
        check("main.(*Server).handle", "main.(*Server).handle");
        check("main.serve.func2.1", "main.serve.func");
        check(
            "github.com/shop/cart.Add[...]",
            "github.com/shop/cart.Add[...]",
        );
        check("runtime.goexit.abi0", "runtime.goexit.abi0");
        check("", "");
    }

    #[test]
    fn broken_names_end_somewhere() {
        for name in [
            "<",
            "<<<<",
            "a<b",
            "f(",
            "{",
            "[",
            "<a as ",
            "operator<",
            "\u{202e}",
            ".",
            "..",
            "@",
            "a->b<c",
        ] {
            let once = normalize(name);
            assert!(once.len() <= name.len() + 2, "{name}");
        }
        assert!(normalize(&"<".repeat(100_000)).len() <= MAX_NAME);
        assert!(normalize(&"a<b>".repeat(100_000)).len() <= MAX_NAME * 2);
        assert!(normalize(&"<a as b>".repeat(10_000)).len() <= MAX_NAME * 2);
    }
}

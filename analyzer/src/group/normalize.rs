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
    let name = folded.strip_suffix(" const").unwrap_or(&folded);
    let name = cpu_variant(without_return_type(name));
    without_lambda(name).to_owned()
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

/// `main.serve.func2.1` is part of `main.serve`, as a lambda of C++ is of its function.
fn fold_go_closure(name: &str) -> &str {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    stem.strip_suffix(".func").unwrap_or(name)
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
            '(' => past_arguments(after),
            '$' if folded.ends_with("::") => fold_clang_lambda(&mut folded, after),
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

/// A lambda or closure is part of the text of the function that it stands in, and is inlined into it
/// by one compiler and not by another: it has that function's name.
fn without_lambda(mut name: &str) -> &str {
    loop {
        let call = name.strip_suffix("::operator()");
        let call = call.filter(|rest| rest.ends_with("{lambda}"));
        let local = call.unwrap_or(name).rsplit_once("::");
        match local {
            Some((function, "{lambda}" | "{closure}" | "{async_fn}" | "{async_block}")) => {
                name = function;
            }
            _ => return name,
        }
    }
}

/// Arguments end a name, unless what follows is local to the function: a lambda, a class.
fn past_arguments(after: &str) -> &str {
    let rest = closing(after, '(', ')').and_then(|close| after.get(close.saturating_add(1)..));
    let rest = rest.map(|rest| rest.strip_prefix(" const").unwrap_or(rest));
    rest.filter(|rest| rest.starts_with("::")).unwrap_or("")
}

/// `$_2`, by its number among all lambdas of the file, is clang's name of one.
fn fold_clang_lambda<'a>(folded: &mut String, after: &'a str) -> &'a str {
    let Some(number) = after.strip_prefix('_') else {
        return push(folded, '$', after);
    };
    folded.push_str("{lambda}");
    number.trim_start_matches(|c: char| c.is_ascii_digit())
}

/// The function whose lambda a function of a C++ library was made for: `shop::pay` of
/// `std::__invoke<shop::pay(long int)::<lambda()> >`.
pub(super) fn lambda_among_arguments(name: &str) -> Option<String> {
    let name = name.get(..name.floor_char_boundary(MAX_NAME))?;
    let end = name.find("::<lambda").or_else(|| name.find("::{lambda"))?;
    let before = name.get(..end)?;
    // Backwards over the arguments of the function that it is local to, to where its name begins.
    let mut depth = 0_usize;
    let start = before.char_indices().rev().find(|(_, c)| {
        match c {
            ')' | '>' => depth = depth.saturating_add(1),
            '(' | '<' | ',' | ' ' if depth == 0 => return true,
            '(' | '<' => depth = depth.saturating_sub(1),
            _ => {}
        }
        false
    });
    let scope = before.get(start.map_or(0, |(at, _)| at.saturating_add(1))..)?;
    Some(normalize(scope))
}

/// Template or generic arguments. At the head of a Rust path `<Type as Trait>` names the type, and
/// the trait where the type is one of the language's own: only its crate may implement that.
fn fold_angle<'a>(folded: &mut String, after: &'a str) -> &'a str {
    let Some(close) = closing(after, '<', '>') else {
        return "";
    };
    let inner = after.get(..close).unwrap_or_default();
    let rest = after.get(close.saturating_add(1)..).unwrap_or_default();
    if folded.is_empty() || (folded.ends_with("::") && inner.starts_with("impl ")) {
        let inner = inner.strip_prefix("impl ").unwrap_or(inner);
        folded.clear();
        folded.push_str(&subject(inner));
    } else if folded.ends_with("::") {
        // `item::<usize>`: the same function as `item` of legacy names.
        folded.truncate(folded.len().saturating_sub(2));
    } else {
        folded.push_str("<T>");
    }
    rest
}

/// Whose function it is: of `Type as Trait`, `Trait for Type`, or `Type`.
fn subject(inner: &str) -> String {
    let (kind, of) = match (inner.split_once(" as "), inner.split_once(" for ")) {
        (Some((kind, of)), _) | (None, Some((of, kind))) => (kind, Some(of)),
        (None, None) => (inner, None),
    };
    match (kind.contains("::"), of) {
        (true, _) => fold(kind),
        (false, Some(of)) => fold(of),
        (false, None) => "core::primitive".to_owned(),
    }
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
        check("main::{lambda(int)#2}::operator()(int) const", "main");
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
        check("shop::serve::{{closure}}", "shop::serve");
        check("shop::pay(long)::$_2::operator() const", "shop::pay");
        check(
            "shop::pay(long)::{lambda(int)#1}::operator()(int) const",
            "shop::pay",
        );
        check("Ways<&shop::pay(long)>::direct", "Ways<T>::direct");
        check("shop::find::<alloc::string::String>", "shop::find");
        check(
            "<usize as core::slice::index::SliceIndex<[u8]>>::index",
            "core::slice::index::SliceIndex<T>::index",
        );
        check(
            "core::slice::index::<impl core::ops::index::Index<I> for [T]>::index",
            "core::ops::index::Index<T>::index",
        );
        check("<[u8] as shop::Sum>::sum", "shop::Sum::sum");
        check("<*const usize>::read", "core::primitive::read");
        check(
            "shop::a::<impl shop::Sum for shop::Cart>::sum",
            "shop::Cart::sum",
        );
        check("shop::serve::{closure#3}", "shop::serve");
        check(
            "core::ops::function::FnOnce::call_once{{vtable.shim}}",
            "core::ops::function::FnOnce::call_once{vtable.shim}",
        );
        check("main.(*Server).handle", "main.(*Server).handle");
        check("main.serve.func2.1", "main.serve");
        check(
            "github.com/shop/cart.Add[...]",
            "github.com/shop/cart.Add[...]",
        );
        check("runtime.goexit.abi0", "runtime.goexit.abi0");
        check("", "");
    }

    #[test]
    fn lambdas_are_named_by_those_that_call_them() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(lambda_among_arguments(name).as_deref(), expected, "{name}");
        };
        let lambda = Some("shop::pay");
        check("std::__invoke<shop::pay(long int)::<lambda()> >", lambda);
        check(
            "std::__invoke_impl<void, shop::pay(std::vector<int>)::<lambda(int)>, int>",
            lambda,
        );
        check("std::__invoke<shop::pay(long)::{lambda()#1}>", lambda);
        check(
            "std::__invoke<shop::Cart<int>::pay(long)::<lambda()> >",
            Some("shop::Cart<T>::pay"),
        );
        check("std::sort<int*>", None);
        check("::<lambda", Some(""));
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

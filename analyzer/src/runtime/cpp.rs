//! Finds the C++ exception in flight.
//!
//! `__cxa_throw` puts a header before the object (Itanium C++ ABI, Exception Handling, 2.2.1;
//! libsupc++/unwind-cxx.h), which ends with a class of eight letters that says who made it. A word
//! of the stack that points behind such a header is the exception, and not by accident.

use super::stack_words;
use crate::cause::c_string;
use crate::scene::Scene;

/// `GNUCC++\0`, and with a last byte of 1 a dependent exception.
const GNU_CPP: u64 = 0x474e_5543_432b_2b00;
/// `sizeof(_Unwind_Exception)`, whose first word is the class; the object follows.
const UNWIND_HEADER: u64 = 32;
/// `sizeof(__cxa_exception)`; its first word is the `type_info`.
const EXCEPTION_HEADER: u64 = 112;
/// Deepest class hierarchy followed.
const MAX_BASES: usize = 16;

/// The exception that nobody caught.
pub(crate) struct Exception {
    /// Address of the object.
    pub(crate) object: u64,
    /// Demangled type.
    pub(crate) type_name: String,
    /// What it says, for those derived from `std::runtime_error` and `std::logic_error`.
    pub(crate) what: Option<String>,
}

/// The exception in flight on the crashed thread.
pub(crate) fn exception(scene: &dyn Scene) -> Option<Exception> {
    let sp = scene.register("rsp").or_else(|| scene.register("sp"))?;
    stack_words(scene, sp, u64::MAX).find_map(|(_, word)| {
        let header = [Some(word), word.checked_sub(UNWIND_HEADER)];
        let header = header
            .into_iter()
            .flatten()
            .find(|at| is_class(scene, *at))?;
        described(scene, header.checked_add(UNWIND_HEADER)?)
    })
}

fn is_class(scene: &dyn Scene, address: u64) -> bool {
    address > 0xffff
        && scene
            .read_u64(address)
            .is_some_and(|class| class & !1 == GNU_CPP)
}

fn described(scene: &dyn Scene, object: u64) -> Option<Exception> {
    let type_info = scene.read_u64(object.checked_sub(EXCEPTION_HEADER)?)?;
    let mangled = type_name(scene, type_info)?;
    Some(Exception {
        object,
        type_name: demangled(&mangled),
        what: what(scene, object, type_info),
    })
}

/// `std::type_info`: a vtable pointer, then the name, of which `*` marks a local one.
fn type_name(scene: &dyn Scene, type_info: u64) -> Option<String> {
    let name = c_string(scene, scene.read_u64(type_info.checked_add(8)?)?)?;
    Some(name.strip_prefix('*').unwrap_or(&name).to_owned())
}

fn demangled(name: &str) -> String {
    let symbol = cpp_demangle::Symbol::new(format!("_ZTS{name}")).ok();
    let text = symbol.and_then(|symbol| symbol.demangle().ok());
    let text = text
        .as_deref()
        .and_then(|text| text.strip_prefix("typeinfo name for "));
    text.unwrap_or(name).to_owned()
}

/// libstdc++ keeps the text of its two base classes as a reference-counted string: a pointer to the
/// characters, whose length stands three words before them.
fn what(scene: &dyn Scene, object: u64, type_info: u64) -> Option<String> {
    if !has_message(scene, type_info) {
        return None;
    }
    let characters = scene.read_u64(object.checked_add(8)?)?;
    let length = scene.read_u64(characters.checked_sub(24)?)?;
    let text = c_string(scene, characters)?;
    (u64::try_from(text.len()) == Ok(length)).then_some(text)
}

/// Whether a class is, or derives by single inheritance from, one that keeps a message
/// (`__si_class_type_info`: the base's `type_info` is the third word).
fn has_message(scene: &dyn Scene, type_info: u64) -> bool {
    let base = |type_info: &u64| scene.read_u64(type_info.checked_add(16)?);
    std::iter::successors(Some(type_info), base)
        .take(MAX_BASES)
        .map_while(|type_info| type_name(scene, type_info))
        .any(|name| matches!(name.as_str(), "St13runtime_error" | "St11logic_error"))
}

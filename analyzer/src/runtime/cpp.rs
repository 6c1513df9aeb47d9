//! Finds the C++ exception in flight.
//!
//! `__cxa_throw` puts a header before the object (Itanium C++ ABI, Exception Handling, 2.2.1;
//! libsupc++/unwind-cxx.h), which ends with a class of eight letters that says who made it. A word
//! of the stack that points behind such a header is the exception, and not by accident.

use super::stack_words;
use crate::cause::{c_string, returned, string};
use crate::scene::Scene;

/// `GNUCC++\0`.
const GNU_CPP: u64 = 0x474e_5543_432b_2b00;
/// The class of a dependent exception: one that `std::rethrow_exception` throws anew. Where the
/// `type_info` would be, its header has the address of the object that was thrown first.
const GNU_CPP_DEPENDENT: u64 = GNU_CPP | 1;
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
    /// What it says: `what()` as far as it can be known without calling it, or a thrown text.
    pub(crate) what: Option<String>,
    /// A thrown number.
    pub(crate) number: Option<String>,
}

/// The exception in flight on the crashed thread.
pub(crate) fn exception(scene: &dyn Scene) -> Option<Exception> {
    let sp = scene.register("rsp").or_else(|| scene.register("sp"))?;
    stack_words(scene, sp, u64::MAX).find_map(|(_, word)| {
        let headers = [Some(word), word.checked_sub(UNWIND_HEADER)];
        headers.into_iter().flatten().find_map(|header| {
            let object = header.checked_add(UNWIND_HEADER)?;
            match class_at(scene, header)? {
                GNU_CPP => described(scene, object),
                GNU_CPP_DEPENDENT => described(
                    scene,
                    scene.read_u64(object.checked_sub(EXCEPTION_HEADER)?)?,
                ),
                _ => None,
            }
        })
    })
}

fn class_at(scene: &dyn Scene, address: u64) -> Option<u64> {
    (address > 0xffff).then(|| scene.read_u64(address))?
}

fn described(scene: &dyn Scene, object: u64) -> Option<Exception> {
    let type_info = scene.read_u64(object.checked_sub(EXCEPTION_HEADER)?)?;
    let mangled = type_name(scene, type_info)?;
    Some(Exception {
        object,
        type_name: demangled(&mangled),
        what: text(scene, object, &mangled).or_else(|| what(scene, object, type_info)),
        number: number(scene, object, &mangled),
    })
}

/// A thrown text: `const char *`, `char *` or `std::string`.
fn text(scene: &dyn Scene, object: u64, mangled: &str) -> Option<String> {
    match mangled {
        "PKc" | "Pc" => c_string(scene, scene.read_u64(object)?),
        STRING => string(
            scene,
            scene.read_u64(object)?,
            scene.read_u64(object.checked_add(8)?)?,
        ),
        _ => None,
    }
}

/// A thrown number, by the letter that stands for its type (Itanium C++ ABI, 5.1.5.2).
fn number(scene: &dyn Scene, object: u64, mangled: &str) -> Option<String> {
    let word = || Some(scene.read_u32(object)?.to_le_bytes());
    let long = || scene.read_u64(object);
    Some(match mangled {
        "i" => i32::from_le_bytes(word()?).to_string(),
        "j" => u32::from_le_bytes(word()?).to_string(),
        "l" | "x" => long()?.cast_signed().to_string(),
        "m" | "y" => long()?.to_string(),
        "d" => f64::from_bits(long()?).to_string(),
        "f" => f32::from_le_bytes(word()?).to_string(),
        "b" => (word()?[0] != 0).to_string(),
        _ => return None,
    })
}

/// `std::type_info`: a vtable pointer, then the name, of which `*` marks a local one.
fn type_name(scene: &dyn Scene, type_info: u64) -> Option<String> {
    let name = c_string(scene, scene.read_u64(type_info.checked_add(8)?)?)?;
    Some(name.strip_prefix('*').unwrap_or(&name).to_owned())
}

/// `std::string` of libstdc++'s current ABI, and what people call it.
const STRING: &str = "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE";
const STRING_NAME: &str =
    "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >";

fn demangled(name: &str) -> String {
    let symbol = cpp_demangle::Symbol::new(format!("_ZTS{name}")).ok();
    let text = symbol.and_then(|symbol| symbol.demangle().ok());
    let text = text
        .as_deref()
        .and_then(|text| text.strip_prefix("typeinfo name for "));
    text.unwrap_or(name).replace(STRING_NAME, "std::string")
}

/// What `what()` would return.
fn what(scene: &dyn Scene, object: u64, type_info: u64) -> Option<String> {
    match ancestor(scene, type_info)? {
        Ancestor::WithMessage => message(scene, object),
        Ancestor::Exception => overridden(scene, object),
    }
}

/// libstdc++ keeps the text of its two base classes as a reference-counted string: a pointer to the
/// characters, whose length stands three words before them.
fn message(scene: &dyn Scene, object: u64) -> Option<String> {
    let characters = scene.read_u64(object.checked_add(8)?)?;
    let length = scene.read_u64(characters.checked_sub(24)?)?;
    let text = c_string(scene, characters)?;
    (u64::try_from(text.len()) == Ok(length)).then_some(text)
}

/// A class's own `what()`, when it does no more than return a constant or a member. It is the third
/// function of the vtable, after the two destructors.
fn overridden(scene: &dyn Scene, object: u64) -> Option<String> {
    let vtable = scene.read_u64(object)?;
    let function = scene.read_u64(vtable.checked_add(16)?)?;
    c_string(scene, returned(scene, function, object)?)
}

/// The library's class that an exception derives from.
enum Ancestor {
    /// `std::runtime_error` or `std::logic_error`, which keep a message.
    WithMessage,
    /// `std::exception`, which has only the virtual `what()`.
    Exception,
}

/// By single inheritance (`__si_class_type_info`: the base's `type_info` is the third word).
fn ancestor(scene: &dyn Scene, type_info: u64) -> Option<Ancestor> {
    let base = |type_info: &u64| scene.read_u64(type_info.checked_add(16)?);
    std::iter::successors(Some(type_info), base)
        .take(MAX_BASES)
        .map_while(|type_info| type_name(scene, type_info))
        .find_map(|name| match name.as_str() {
            "St13runtime_error" | "St11logic_error" => Some(Ancestor::WithMessage),
            "St9exception" => Some(Ancestor::Exception),
            _ => None,
        })
}

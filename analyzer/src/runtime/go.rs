//! Reads a Go panic: which functions of the run time are on the stack, and what they were given.
//!
//! Before it gives up, `gopanic` turns an error into its text (`preprintpanics`), so its frame
//! holds the printed words as an interface value of type `string`. A type is known by its
//! descriptor, so no other two words of the frame pass for one.

use super::stack_words;
use crate::cause::string;
use crate::scene::Scene;

/// A panic, or a fatal error of the run time.
pub(crate) struct Panic {
    /// What Go prints for it: read from memory, else as the function says it.
    pub(crate) message: Option<String>,
    /// Whether the message was read from memory.
    pub(crate) read: bool,
    /// Type of a value that has no text.
    pub(crate) type_name: Option<String>,
}

/// Functions of Go's runtime package (src/runtime/panic.go) and what they say.
const SAID: [(&str, &str); 9] = [
    (
        "runtime.panicmem",
        "runtime error: invalid memory address or nil pointer dereference",
    ),
    (
        "runtime.panicmemAddr",
        "runtime error: invalid memory address or nil pointer dereference",
    ),
    (
        "runtime.panicdivide",
        "runtime error: integer divide by zero",
    ),
    ("runtime.panicshift", "runtime error: negative shift amount"),
    ("runtime.panicoverflow", "runtime error: integer overflow"),
    ("runtime.panicnil", "panic called with nil argument"),
    ("runtime.goPanicIndex", "runtime error: index out of range"),
    ("runtime.goPanicIndexU", "runtime error: index out of range"),
    (
        "runtime.panicdottypeE",
        "interface conversion of the wrong type",
    ),
];

/// The panic that ended the process; `None` when no panic is on the crashed thread's stack.
pub(crate) fn panic(scene: &dyn Scene) -> Option<Panic> {
    if let Some(at) = frame_of(scene, &["runtime.gopanic"]) {
        let message = argument_text(scene, at);
        let type_name = match message {
            Some(_) => None,
            None => argument_type(scene, at),
        };
        return Some(Panic {
            read: message.is_some(),
            message: message.or_else(|| said(scene)),
            type_name,
        });
    }
    let fatal = frame_of(scene, &["runtime.throw", "runtime.fatal"]);
    let by_name = |name: &str| {
        ["runtime.fatalpanic", "runtime.fatalthrow"]
            .iter()
            .any(|start| name.starts_with(start))
    };
    if fatal.is_none() && !names(scene).any(by_name) {
        return None;
    }
    let message = fatal.and_then(|at| fatal_text(scene, at));
    Some(Panic {
        read: message.is_some(),
        message: message.map(|text| format!("fatal error: {text}")),
        type_name: None,
    })
}

fn names(scene: &dyn Scene) -> impl Iterator<Item = &str> {
    let frames = scene.frames().iter();
    frames.filter_map(|frame| frame.function.as_deref())
}

fn frame_of(scene: &dyn Scene, functions: &[&str]) -> Option<usize> {
    scene.frames().iter().position(|frame| {
        let name = frame.function.as_deref();
        name.is_some_and(|name| functions.contains(&name))
    })
}

fn said(scene: &dyn Scene) -> Option<String> {
    let by = |function: &str| names(scene).any(|name| name == function);
    let known = SAID.iter().find(|(function, _)| by(function));
    let slice = names(scene)
        .any(|name| name.starts_with("runtime.goPanicSlice"))
        .then_some("runtime error: slice bounds out of range");
    known.map(|(_, text)| *text).or(slice).map(str::to_owned)
}

/// The stack of a frame: its own words, and behind them the caller's, where Go's register calling
/// convention keeps room for arguments (src/cmd/compile/abi-internal.md, since 1.17), and where
/// older ones are.
fn extent(scene: &dyn Scene, at: usize) -> Option<(u64, u64)> {
    let from = scene.frame_register(at, "rsp")?;
    let callers = at.checked_add(1)?..scene.frames().len();
    let to = callers
        .filter_map(|caller| scene.frame_register(caller, "rsp"))
        .find(|sp| *sp > from)?;
    Some((from, to))
}

/// The text of `gopanic`'s argument: an interface value of type `string` in its frame, or handed
/// to it.
fn argument_text(scene: &dyn Scene, at: usize) -> Option<String> {
    let (from, to) = extent(scene, at)?;
    let words: Vec<u64> = stack_words(scene, from, to.checked_add(16)?)
        .map(|(_, word)| word)
        .collect();
    words.windows(2).find_map(|pair| {
        let [descriptor, data] = pair else {
            return None;
        };
        let text = Type::at(scene, *descriptor).filter(Type::is_string)?;
        string_at(scene, *data).map(|said| text.printed(scene, said))
    })
}

fn argument_type(scene: &dyn Scene, at: usize) -> Option<String> {
    let (_, to) = extent(scene, at)?;
    Type::at(scene, scene.read_u64(to)?)?.name(scene)
}

/// The text handed to `throw` or `fatal`: its pointer is in the argument's place, and both words in
/// the frame, for the closure that prints it.
fn fatal_text(scene: &dyn Scene, at: usize) -> Option<String> {
    let (from, to) = extent(scene, at)?;
    let pointer = scene.read_u64(to)?;
    let words: Vec<u64> = stack_words(scene, from, to).map(|(_, word)| word).collect();
    let after = |pair: &[u64]| match pair {
        [first, length] if *first == pointer => string(scene, pointer, *length),
        _ => None,
    };
    words
        .windows(2)
        .find_map(after)
        .or_else(|| string(scene, pointer, scene.read_u64(to.checked_add(8)?)?))
}

/// A string value: pointer and length.
fn string_at(scene: &dyn Scene, address: u64) -> Option<String> {
    let length = scene.read_u64(address.checked_add(8)?)?;
    string(scene, scene.read_u64(address)?, length)
}

/// A type descriptor (src/internal/abi/type.go; src/runtime/type.go before 1.21).
struct Type {
    address: u64,
    size: u64,
    kind: u8,
}

impl Type {
    const STRING: u8 = 24;
    /// The kind's upper bits are flags.
    const KIND: u8 = 0x1f;
    const KINDS: std::ops::RangeInclusive<u8> = 1..=26;

    fn at(scene: &dyn Scene, address: u64) -> Option<Self> {
        // gdb's cores leave out what is unchanged from its file.
        let constant = scene
            .mapping_at(address)
            .is_none_or(|mapping| !mapping.writable);
        if !constant || !address.is_multiple_of(8) {
            return None;
        }
        let mut bytes = [0; 24];
        scene
            .read(address, &mut bytes)
            .then_some(bytes)
            .and_then(|bytes| {
                let [size @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, kind] = bytes;
                let kind = kind & Self::KIND;
                Self::KINDS.contains(&kind).then(|| Type {
                    address,
                    size: u64::from_le_bytes(size),
                    kind,
                })
            })
    }

    fn is_string(&self) -> bool {
        self.kind == Self::STRING && self.size == 16
    }

    /// Go prints a string type of the program's own with its name: `main.Code("x")`.
    fn printed(&self, scene: &dyn Scene, text: String) -> String {
        match self.name(scene).as_deref() {
            None | Some("string" | "runtime.plainError" | "runtime.plainErrorString") => text,
            Some("runtime.errorString") => format!("runtime error: {text}"),
            Some(name) => format!("{name}(\"{text}\")"),
        }
    }

    /// The type's name, by the offset in the module's type data. `None` without Go's symbols.
    fn name(&self, scene: &dyn Scene) -> Option<String> {
        /// `tflagExtraStar`: the name is stored behind a `*`.
        const EXTRA_STAR: u8 = 1 << 1;
        let (types, _) = scene.symbol("", "runtime.types")?;
        let offset = u64::from(scene.read_u32(self.address.checked_add(40)?)?);
        let mut flags = [0];
        if !scene.read(self.address.checked_add(20)?, &mut flags) {
            return None;
        }
        let name = name_at(scene, types.checked_add(offset)?)?;
        let starred = flags[0] & EXTRA_STAR != 0;
        match name.strip_prefix('*').filter(|_| starred) {
            Some(name) => Some(name.to_owned()),
            None => Some(name),
        }
    }
}

/// A name of the type data: a byte of flags, the length as a varint (since 1.17), the text.
fn name_at(scene: &dyn Scene, address: u64) -> Option<String> {
    let mut head = [0; 3];
    if !scene.read(address, &mut head) {
        return None;
    }
    let [_, low, high] = head.map(u64::from);
    let (length, start) = if low < 0x80 {
        (low, 2)
    } else {
        ((low & 0x7f) | (high << 7), 3)
    };
    string(scene, address.checked_add(start)?, length)
}

//! Says which program's symbols a file holds, for whoever keeps it.

use crate::dump::elf::hexadecimal;
use crate::image::{Image, Object};
use crate::mapped::Bytes;
use crate::symbols::split;
use object::Object as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A GNU build ID has 20 bytes, others up to 32; a longer one is refused.
pub(crate) const BUILD_ID_MAX: usize = 64;

/// What a file of symbols is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Build ID of the module it belongs to, lowercase hexadecimal; of a file without one, what
    /// [`linked_by`] makes of its checksum, `dwo-…` or `dwp-…`; of one without symbols [`program`].
    pub build_id: String,
    /// The best it has: `dwarf`, `symtab`, or only `code`, which tells where frames end.
    pub debug: String,
    /// Whether it is a program or a library, and not only its debug information.
    #[serde(default)]
    pub has_code: bool,
    /// Build ID of the file it shares with others (dwz), without which names are missing.
    pub shared: Option<String>,
    /// What identifies the units whose debug information it has, of a file that has nothing else
    /// (`.dwo`, `.dwp`).
    #[serde(default)]
    pub units: Vec<String>,
}

/// What comes before the build ID where a module's own file is meant.
pub const PROGRAM: &str = "program-";

/// The most units of a package; the largest programs have fewer.
const UNITS_MAX: usize = 200_000;

/// Describes a file; the error is a sentence's end: "it is …".
pub fn describe(bytes: Bytes) -> Result<Description, &'static str> {
    let image = Image::new(bytes);
    let object = image.object().ok_or("no ELF file")?;
    if object.has(".debug_info.dwo") {
        return split_units(&object);
    }
    let debug = match () {
        () if object.has(".debug_info") => "dwarf",
        () if object.has(".symtab") || object.has(".gnu_debugdata") => "symtab",
        () if has_code(&object) => "code",
        () => return Err("without symbols: neither .debug_info nor .symtab"),
    };
    let build_id = match object.build_id() {
        Some(id) if !(2..=BUILD_ID_MAX).contains(&(id.len() / 2)) => {
            return Err("with a build ID of an absurd length");
        }
        Some(id) if debug == "code" => program(&id),
        Some(id) => id,
        None if debug == "code" => return Err("without symbols, and without a build ID"),
        None => linked_by(crc32fast::hash(image.bytes())),
    };
    Ok(Description {
        build_id,
        debug: debug.to_owned(),
        has_code: has_code(&object),
        shared: shared(&object),
        units: Vec::new(),
    })
}

fn split_units(object: &Object<'_>) -> Result<Description, &'static str> {
    let units: Vec<String> = split::unit_ids(object)
        .into_iter()
        .map(split::key)
        .collect();
    let first = units
        .first()
        .ok_or("a file of split DWARF without a number")?;
    if units.len() > UNITS_MAX {
        return Err("a package of too many units");
    }
    let build_id = if split::is_package(object) {
        let mut hash = Sha256::new();
        for unit in &units {
            hash.update(unit);
        }
        format!("dwp-{}", hexadecimal(&hash.finalize()[..10]))
    } else {
        first.clone()
    };
    Ok(Description {
        build_id,
        debug: "dwarf".to_owned(),
        has_code: false,
        shared: None,
        units,
    })
}

/// What identifies a module's own file, which may be here besides its debug information.
pub fn program(build_id: &str) -> String {
    format!("{PROGRAM}{build_id}")
}

/// Debug information alone has the sections of its program without their content.
fn has_code(object: &Object<'_>) -> bool {
    object.has(".text")
}

/// What identifies a file that a module's `.gnu_debuglink` names by its CRC-32.
pub fn linked_by(crc: u32) -> String {
    format!("crc32-{crc:08x}")
}

fn shared(object: &Object<'_>) -> Option<String> {
    let (_, id) = object.file.gnu_debugaltlink().ok()??;
    (2..=BUILD_ID_MAX)
        .contains(&id.len())
        .then(|| hexadecimal(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_no_symbols_is_refused() {
        for bytes in [&b""[..], b"\x7fELF", &[0xff; 4096]] {
            let described = describe(Bytes::from(bytes.to_vec()));
            assert_eq!(described, Err("no ELF file"));
        }
    }
}

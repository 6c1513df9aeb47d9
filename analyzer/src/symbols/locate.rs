//! Decides which separate debug files to ask for, and verifies what comes.

use crate::dump::elf::hexadecimal;
use crate::image::{Image, Object};
use crate::modules::{ModuleSource, WantedDebug};
use crate::space::Space;
use object::Object as _;

/// The files beside a module's own that name its code.
#[derive(Default)]
pub struct DebugFiles {
    /// Its separate debug file.
    pub debug: Option<Image>,
    /// The file that one shares with others (dwz).
    pub shared: Option<Image>,
    /// Where the separate debug file came from.
    pub origin: Option<&'static str>,
}

/// Asks for debug files of the modules that have frames in `used` and no debug information of
/// their own. The result is in the order of `space.modules`.
pub fn locate(space: &Space<'_>, used: &[bool], source: &mut dyn ModuleSource) -> Vec<DebugFiles> {
    let locate = |(module, &used): (&crate::modules::Module<'_>, &bool)| match &module.object {
        Some(object) if used => of_module(&module.found.path, object, source),
        _ => DebugFiles::default(),
    };
    space.modules.iter().zip(used).map(locate).collect()
}

fn of_module(path: &str, object: &Object<'_>, source: &mut dyn ModuleSource) -> DebugFiles {
    if object.has(".debug_info") {
        return DebugFiles {
            shared: shared(object, source),
            ..DebugFiles::default()
        };
    }
    let build_id = object.build_id();
    let link = object.file.gnu_debuglink().ok().flatten();
    let link = link.and_then(|(name, crc)| Some((std::str::from_utf8(name).ok()?, crc)));
    let wanted = WantedDebug {
        module: path,
        build_id: build_id.as_deref(),
        link,
    };
    let offer = source.debug_file(wanted);
    let from = offer.as_ref().map(|offer| offer.origin);
    let debug = offer.map(|offer| Image::new(offer.bytes));
    let debug = debug.filter(|image| {
        image
            .object()
            .is_some_and(|found| match (&build_id, found.build_id()) {
                (Some(own), Some(found)) => *own == found,
                // The source checked the debug link's CRC.
                _ => link.is_some(),
            })
    });
    let shared = debug
        .as_ref()
        .and_then(Image::object)
        .and_then(|object| shared(&object, source));
    DebugFiles {
        origin: from.filter(|_| debug.is_some()),
        debug,
        shared,
    }
}

fn shared(object: &Object<'_>, source: &mut dyn ModuleSource) -> Option<Image> {
    let (path, id) = object.file.gnu_debugaltlink().ok()??;
    let id = hexadecimal(id);
    let offer = source.shared_debug_file(std::str::from_utf8(path).ok()?, &id)?;
    let image = Image::new(offer.bytes);
    let is_it = image.object()?.build_id().is_some_and(|found| found == id);
    is_it.then_some(image)
}

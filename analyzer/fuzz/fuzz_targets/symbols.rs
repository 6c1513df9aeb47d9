//! Any file is described, or refused, and its symbols can be asked at any address.
#![no_main]

use aground_analyzer::describe::describe;
use aground_analyzer::image::Image;
use aground_analyzer::mapped::Bytes;
use aground_analyzer::symbols::dwarf::DebugInfo;
use aground_analyzer::symbols::split::SplitFiles;
use aground_analyzer::symbols::symtab::SymbolTable;
use libfuzzer_sys::fuzz_target;
use object::Object as _;

fuzz_target!(|bytes: &[u8]| {
    let bytes = Bytes::from(bytes.to_vec());
    if let Ok(described) = describe(bytes.clone()) {
        let digits = ["crc32-", "dwo-", "dwp-"]
            .iter()
            .find_map(|prefix| described.build_id.strip_prefix(prefix))
            .unwrap_or(&described.build_id);
        assert!(digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
    let image = Image::new(bytes);
    let Some(object) = image.object() else {
        return;
    };
    // Units of it may say that their information is elsewhere, and be their own elsewhere.
    let split = SplitFiles::new(std::slice::from_ref(&image));
    let debug = DebugInfo::of(&object, None, split);
    let table = SymbolTable::of(&[&object]);
    let entry = object.file.entry();
    for address in [0, entry].into_iter().chain((0x1000..0x2000).step_by(61)) {
        let _ = table.find(address);
        let found = debug.as_ref().map(|debug| debug.find(address));
        assert!(found.is_none_or(|found| found.len() <= 256));
    }
});

//! Bytes in, report out: unwinds, symbolizes, explains and signs a core.
//!
//! Pure: no network, no clock, no environment, no files but those handed in. Only [`offline`]
//! opens files, for `aground analyze`.
//!
//! ```text
//! dump      a core's headers, notes and memory         mapped   bytes of files
//! modules   which ELF files were mapped, and the files  image    an ELF file
//! space     memory and modules together
//! unwind    registers → frames                          arch     what differs between machines
//! symbols   addresses → functions, files, lines         pclntab  Go's table of functions
//! threads   the report's threads                        witness  what the cause rules see
//! locks     who waits for whom                          cause    why it died
//! analyze   all of it, in order                         text     a report for people
//! ```

pub mod address;
pub mod analyze;
pub mod arch;
pub mod cause;
pub mod describe;
pub mod dump;
pub mod group;
pub mod image;
pub mod locks;
pub mod manifest;
pub mod mapped;
pub mod modules;
pub mod offline;
pub mod pclntab;
pub mod report;
pub mod runtime;
pub mod scene;
pub mod script;
pub mod signals;
pub mod space;
pub mod symbols;
pub mod system_calls;
pub mod text;
pub mod threads;
pub mod unwind;
pub mod witness;

//! Writes ELF cores byte by byte, without any parser or ELF library: what goes wrong in a
//! reader cannot go wrong here in the same way.

/// `EM_X86_64`.
pub const X86_64: u16 = 62;
/// A machine number nobody has given out.
pub const NO_MACHINE: u16 = 0xfeed;

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;

/// A core of one thread with one page of stack.
#[derive(Clone, Copy, Debug)]
pub struct Core {
    /// `e_machine`.
    pub machine: u16,
    /// Signal number.
    pub signal: i32,
    /// `si_addr`.
    pub address: u64,
    /// Instruction pointer.
    pub rip: u64,
    /// Whether the program was started with raised privileges (`AT_SECURE`).
    pub secure: bool,
}

impl Default for Core {
    fn default() -> Self {
        Self {
            machine: X86_64,
            signal: 11,
            address: 0,
            rip: 0x40_1136,
            secure: false,
        }
    }
}

impl Core {
    /// The whole file.
    pub fn bytes(self) -> Vec<u8> {
        let notes = self.notes();
        let stack = vec![0_u8; 4096];
        let notes_at = HEADER + 2 * PROGRAM_HEADER;
        let stack_at = (notes_at + notes.len()).next_multiple_of(4096);
        let mut file = self.header();
        file.extend(program_header(4, 4, notes_at, 0, notes.len(), 4));
        file.extend(program_header(
            1,
            6,
            stack_at,
            0x7ffd_0000_0000,
            stack.len(),
            4096,
        ));
        file.extend(notes);
        file.resize(stack_at, 0);
        file.extend(stack);
        file
    }

    fn header(self) -> Vec<u8> {
        let mut header = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        half(&mut header, 4); // ET_CORE
        half(&mut header, self.machine);
        word(&mut header, 1);
        quad(&mut header, 0);
        quad(&mut header, HEADER as u64);
        quad(&mut header, 0);
        word(&mut header, 0);
        for number in [HEADER, PROGRAM_HEADER, 2, 64, 0, 0] {
            half(&mut header, u16::try_from(number).expect("small"));
        }
        header
    }

    fn notes(self) -> Vec<u8> {
        let mut notes = note(1, &self.status());
        notes.extend(note(0x5349_4749, &self.signal_information()));
        notes.extend(note(6, &self.auxiliary_vector()));
        notes
    }

    /// User and group ids at the start, `AT_SECURE`, and the end.
    fn auxiliary_vector(self) -> Vec<u8> {
        let secure = u64::from(self.secure);
        let mut vector = Vec::new();
        for number in [11, 0, 12, 0, 13, 0, 14, 0, 23, secure, 0, 0] {
            quad(&mut vector, number);
        }
        vector
    }

    /// `struct elf_prstatus` of x86-64: 112 bytes, 27 registers, `pr_fpvalid` and padding.
    fn status(self) -> Vec<u8> {
        let mut status = vec![0_u8; 112 + 27 * 8 + 8];
        put(&mut status, 0, &self.signal.to_le_bytes());
        put(
            &mut status,
            12,
            &u16::try_from(self.signal).unwrap_or(0).to_le_bytes(),
        );
        put(&mut status, 32, &4711_i32.to_le_bytes());
        put(&mut status, 112 + 16 * 8, &self.rip.to_le_bytes());
        put(
            &mut status,
            112 + 19 * 8,
            &0x7ffd_0000_0800_u64.to_le_bytes(),
        );
        status
    }

    /// `siginfo_t`: number, errno, code (`SEGV_MAPERR`), address at 16.
    fn signal_information(self) -> Vec<u8> {
        let mut information = vec![0_u8; 128];
        put(&mut information, 0, &self.signal.to_le_bytes());
        put(&mut information, 8, &1_i32.to_le_bytes());
        put(&mut information, 16, &self.address.to_le_bytes());
        information
    }
}

fn program_header(
    kind: u32,
    flags: u32,
    offset: usize,
    address: u64,
    size: usize,
    align: u64,
) -> Vec<u8> {
    let mut header = Vec::new();
    word(&mut header, kind);
    word(&mut header, flags);
    for number in [offset as u64, address, 0, size as u64, size as u64, align] {
        quad(&mut header, number);
    }
    header
}

fn note(kind: u32, description: &[u8]) -> Vec<u8> {
    let mut note = Vec::new();
    word(&mut note, 5);
    word(&mut note, u32::try_from(description.len()).expect("small"));
    word(&mut note, kind);
    note.extend(b"CORE\0\0\0\0");
    note.extend(description);
    note.resize(note.len().next_multiple_of(4), 0);
    note
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn half(bytes: &mut Vec<u8>, number: u16) {
    bytes.extend(number.to_le_bytes());
}

fn word(bytes: &mut Vec<u8>, number: u32) {
    bytes.extend(number.to_le_bytes());
}

fn quad(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend(number.to_le_bytes());
}

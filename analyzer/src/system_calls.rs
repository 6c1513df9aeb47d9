//! Names system calls by their numbers, per architecture (`tables/`, from Linux's headers).

/// `AUDIT_ARCH_*` of include/uapi/linux/audit.h, which `siginfo` carries.
const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
const AARCH64: u32 = 0xc000_00b7;
const RISCV64: u32 = 0xc000_00f3;
/// `__X32_SYSCALL_BIT`: the x32 way into x86-64's table.
const X32: u32 = 0x4000_0000;

/// The name of a system call, or its number where the table has none.
pub fn name(audit_arch: u32, number: i32) -> String {
    let table = match audit_arch {
        X86_64 => include_str!("../tables/syscalls-x86_64.txt"),
        I386 => include_str!("../tables/syscalls-i386.txt"),
        AARCH64 | RISCV64 => include_str!("../tables/syscalls-generic.txt"),
        _ => "",
    };
    let bare = if audit_arch == X86_64 {
        number.cast_unsigned() & !X32
    } else {
        number.cast_unsigned()
    };
    let line = |line: &'static str| {
        let (known, name) = line.split_once(' ')?;
        (known.parse() == Ok(bare)).then_some(name)
    };
    table
        .lines()
        .find_map(line)
        .map_or_else(|| format!("number {number}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(name(X86_64, 59), "execve");
        assert_eq!(name(X86_64, X32.cast_signed() + 59), "execve");
        assert_eq!(name(I386, 11), "execve");
        assert_eq!(name(AARCH64, 221), "execve");
        assert_eq!(name(X86_64, 4095), "number 4095");
        assert_eq!(name(X86_64, -1), "number -1");
        assert_eq!(name(0, 59), "number 59");
    }
}

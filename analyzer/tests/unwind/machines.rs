//! The stacks of `stacks.c` on other machines, whose cores are read on this one.

use crate::crash::Oracle;
use crate::qemu::{Guest, Machine};
use crate::traps::{TO_MAIN, WAYS};

static AARCH64: Machine = Machine {
    compiler: "aarch64-linux-gnu-gcc",
    emulator: &["qemu-aarch64", "-cpu", "max"],
    sysroot: "/usr/aarch64-linux-gnu",
    writes_cores: true,
};

static ARM: Machine = Machine {
    compiler: "arm-linux-gnueabihf-gcc",
    emulator: &["qemu-arm"],
    sysroot: "/usr/arm-linux-gnueabihf",
    writes_cores: true,
};

static RISCV64: Machine = Machine {
    compiler: "riscv64-linux-gnu-gcc",
    emulator: &["qemu-riscv64"],
    sysroot: "/usr/riscv64-linux-gnu",
    writes_cores: false,
};

/// Dies in every way. Most of these cores list no files, and gdb cannot tell where the program lay.
#[track_caller]
fn check(machine: &'static Machine, options: &[&str]) {
    let guest = Guest::built(machine, "stacks.c", options);
    for (way, functions) in WAYS {
        eprintln!("{} {options:?}: {way}", machine.compiler);
        let mut expected = functions.to_vec();
        expected.extend(TO_MAIN);
        guest.crash(way).check(&expected, Oracle::Lost);
    }
}

#[test]
fn aarch64() {
    check(&AARCH64, &["-g", "-O2"]);
}

#[test]
fn aarch64_with_pointer_authentication() {
    check(&AARCH64, &["-g", "-O2", "-mbranch-protection=standard"]);
    check(
        &AARCH64,
        &["-g", "-O1", "-mbranch-protection=pac-ret+leaf", "-static"],
    );
}

#[test]
fn riscv64() {
    check(&RISCV64, &["-g", "-O2"]);
    check(&RISCV64, &["-g", "-O0", "-static"]);
}

/// Neither `.eh_frame` nor, without `-g`, `.debug_frame`.
const UNDESCRIBED: [&str; 3] = [
    "-O2",
    "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables",
];

#[test]
fn aarch64_and_riscv64_by_prologues() {
    check(&AARCH64, &UNDESCRIBED);
    check(&RISCV64, &UNDESCRIBED);
}

#[test]
fn arm() {
    check(&ARM, &["-g", "-O2"]);
    check(&ARM, &["-g", "-O2", "-marm"]);
}

/// Without call frame information arm has its exception tables; functions that cannot throw have
/// entries only when asked for.
#[test]
fn arm_by_exception_tables() {
    check(&ARM, &["-O2", "-funwind-tables"]);
    check(&ARM, &["-O1", "-funwind-tables", "-marm"]);
}

#[test]
fn arm_by_prologues() {
    check(&ARM, &["-O2"]);
    check(&ARM, &["-O2", "-marm"]);
}

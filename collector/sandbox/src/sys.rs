//! System calls that nobody wraps, for [`crate::escape`]. The only unsafe code of the crate.
#![allow(unsafe_code)]

use std::io;

/// Starts a copy of this process, which ends at once. Returns its process id.
pub(crate) fn fork() -> io::Result<i32> {
    // SAFETY: the process has one thread, and the copy does nothing but end.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: it never returns and touches no state of the program.
        0 => unsafe { libc::_exit(0) },
        child => Ok(child),
    }
}

/// Attaches to a process as a debugger does.
pub(crate) fn attach(pid: i32) -> io::Result<()> {
    // SAFETY: attaching reads and writes no memory of this process.
    result(unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0) })
}

/// Reads a word of another process's memory.
pub(crate) fn read_memory_of(pid: i32, address: usize) -> io::Result<()> {
    let mut word = [0_u8; 8];
    let local = libc::iovec {
        iov_base: word.as_mut_ptr().cast(),
        iov_len: word.len(),
    };
    let remote = libc::iovec {
        iov_base: std::ptr::without_provenance_mut(address),
        iov_len: word.len(),
    };
    // SAFETY: both lists have the one element that is said, and the local one is writable.
    let read = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    result(read.try_into().unwrap_or(-1))
}

/// Asks for a ring of system calls that a filter does not see.
pub(crate) fn io_uring() -> io::Result<()> {
    let mut parameters = [0_u8; 256];
    // SAFETY: the kernel writes `struct io_uring_params`, 120 bytes, into the 256.
    result(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) })
}

/// Maps memory that can be written and executed.
pub(crate) fn executable_memory() -> io::Result<()> {
    let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: the kernel chooses a free address, so nothing that is mapped changes.
    let mapped = unsafe { libc::mmap(std::ptr::null_mut(), 4096, all, private, -1, 0) };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn result(answer: libc::c_long) -> io::Result<()> {
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

//! The XDP program that every wire's ends carry: it passes all.
//!
//! A frame that a box's XDP program sends or redirects to a veth arrives only if the peer has an XDP program as well;
//! otherwise it vanishes silently. Two instructions need no object file, so they are loaded by `bpf(2)` directly.

use std::io;
use std::mem::size_of;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result};

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TYPE_XDP: u32 = 6;
/// `r0 = XDP_PASS; exit`: opcode, registers, offset and immediate of each.
const PROGRAM: [u64; 2] = [0x0000_0002_0000_00b7, 0x0000_0000_0000_0095];
const LICENSE: &[u8] = b"GPL\0";

/// The leading fields of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
struct LoadAttributes {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

/// Loads the program; it lives as long as the descriptor or an interface that carries it.
pub(crate) fn load() -> Result<OwnedFd> {
    let mut name = [0; 16];
    name[..9].copy_from_slice(b"wire_pass");
    let attributes = LoadAttributes {
        program_type: BPF_PROG_TYPE_XDP,
        instruction_count: PROGRAM.len() as u32,
        instructions: PROGRAM.as_ptr().addr() as u64,
        license: LICENSE.as_ptr().addr() as u64,
        log_level: 0,
        log_size: 0,
        log_buffer: 0,
        kernel_version: 0,
        flags: 0,
        name,
    };
    // SAFETY: the attributes and what they point to outlive the call, and the size given is theirs.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attributes, size_of::<LoadAttributes>()) };
    if result < 0 {
        return Err(io::Error::last_os_error())
            .context("the kernel refuses to load a BPF program; the lab needs root and a kernel with BPF and XDP");
    }
    // SAFETY: the kernel has just returned this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(result as RawFd) })
}

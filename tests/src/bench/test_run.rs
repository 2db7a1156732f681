//! `BPF_PROG_TEST_RUN` without anything around it: the attributes are prepared once, so that a call costs as little and as
//! much the same as it can.

use std::{
    io,
    mem::{size_of, zeroed},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result, bail};
use aya::{Ebpf, programs::Program};

const BPF_PROG_TEST_RUN: libc::c_long = 10;
/// `BPF_F_TEST_XDP_LIVE_FRAMES`: what the program redirects does leave.
const LIVE_FRAMES: u32 = 1 << 1;

/// The part of `union bpf_attr` for `BPF_PROG_TEST_RUN`.
#[repr(C)]
#[derive(Debug)]
struct Attributes {
    program: u32,
    return_value: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    reserved: u32,
}

/// A program and the frame that it is to get.
#[derive(Debug)]
pub(super) struct TestRun {
    program: OwnedFd,
    frame: Vec<u8>,
}

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// The program's verdict.
    pub return_value: u32,
    /// How long a run took, as the kernel measures it: nanoseconds, with two readings of the clock for all runs together.
    pub duration: u32,
}

impl TestRun {
    /// Prepares runs of a loaded program.
    pub fn new(object: &Ebpf, program: &str, frame: Vec<u8>) -> Result<Self> {
        let loaded = match object.program(program) {
            Some(Program::Xdp(xdp)) => xdp.fd()?,
            Some(Program::SchedClassifier(tc)) => tc.fd()?,
            _ => bail!("the object has no XDP or TC program {program}"),
        };
        Ok(Self { program: loaded.as_fd().try_clone_to_owned()?, frame })
    }

    /// The frame of the next run.
    pub fn frame(&mut self) -> &mut [u8] {
        &mut self.frame
    }

    /// Runs the program so often, on one copy of the frame: what it leaves of it is what the next run gets.
    pub fn repeat(&self, times: u32) -> Result<Outcome> {
        self.call(times, 0)
    }

    /// Runs the program `frames` times, on frames that really leave by the interface that it redirects them to. They are
    /// not restored in between.
    pub fn send(&self, frames: u32) -> Result<Outcome> {
        self.call(frames, LIVE_FRAMES)
    }

    fn call(&self, repeat: u32, flags: u32) -> Result<Outcome> {
        // SAFETY: integers, for which zero is a value.
        let mut attributes: Attributes = unsafe { zeroed() };
        attributes.program = self.program.as_raw_fd().cast_unsigned();
        attributes.data_size_in = self.frame.len() as u32;
        attributes.data_in = self.frame.as_ptr().addr() as u64;
        attributes.repeat = repeat;
        attributes.flags = flags;
        // SAFETY: the attributes and the frame outlive the call, and the sizes given are theirs.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_TEST_RUN, &raw mut attributes, size_of::<Attributes>()) };
        if result < 0 {
            return Err(io::Error::last_os_error()).context("the kernel refuses to run a program on a frame");
        }
        Ok(Outcome { return_value: attributes.return_value, duration: attributes.duration })
    }
}

//! The programs load where there is no BTF: small boards' kernels have none, and whoever strips an object takes its own away.

use std::{env, fs, io, os::unix::process::CommandExt as _, process::Command};

use aya::{EbpfLoader, programs::Program};
use mipd_common::programs::{TC_PROGRAMS, XDP_PROGRAMS};
use mipd_lab::packets::{bench, object};

/// Tells the test of a kernel without BTF that it runs on one.
const DENIED: &str = "MIPD_TEST_BTF_IS_DENIED";
const BPF_BTF_LOAD: u32 = 18;

/// Loads all programs of an object, as the agent does: without the kernel's BTF.
fn load_all(bytes: &[u8]) {
    let mut loaded = EbpfLoader::new().btf(None).load(bytes).unwrap();
    let mut programs = 0;
    for (name, program) in loaded.programs_mut() {
        match program {
            Program::Xdp(program) => program.load(),
            Program::SchedClassifier(program) => program.load(),
            _ => panic!("{name} is neither an XDP nor a TC program"),
        }
        .unwrap_or_else(|error| panic!("the kernel refuses {name}: {error}"));
        programs += 1;
    }
    assert_eq!(programs, XDP_PROGRAMS.len() + TC_PROGRAMS.len());
}

#[test]
fn an_object_without_btf_loads() {
    if !bench::privileged() {
        return;
    }
    let mut bytes = fs::read(object::path().unwrap()).unwrap();
    // Nobody finds a section by another name.
    let places: Vec<_> = bytes.windows(4).enumerate().filter(|(_, name)| name == b".BTF").map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "the object has no BTF as it is");
    for at in places {
        bytes[at..at + 4].copy_from_slice(b".NIL");
    }
    load_all(&bytes);
}

/// In a process of its own, for aya asks the kernel only once what it can do.
#[test]
fn the_object_loads_into_a_kernel_without_btf() {
    if !bench::privileged() {
        return;
    }
    if env::var_os(DENIED).is_some() {
        assert_eq!(load_btf().raw_os_error(), Some(libc::ENOTSUP), "BTF is not denied");
        load_all(&fs::read(object::path().unwrap()).unwrap());
        return;
    }
    let mut test = Command::new(env::current_exe().unwrap());
    test.args(["--exact", "without_btf::the_object_loads_into_a_kernel_without_btf"]).env(DENIED, "1");
    // SAFETY: only system calls between fork and exec.
    unsafe { test.pre_exec(deny_btf) };
    let output = test.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// Asks the kernel for what it cannot give; the error tells who refused.
fn load_btf() -> io::Error {
    let attributes = [0_u64; 4];
    // SAFETY: attributes of the size given, without pointers.
    let result = unsafe { libc::syscall(libc::SYS_bpf, BPF_BTF_LOAD, attributes.as_ptr(), size_of_val(&attributes)) };
    assert_eq!(result, -1);
    io::Error::last_os_error()
}

/// Has every later attempt of this process to load BTF fail.
fn deny_btf() -> io::Result<()> {
    let statement = |code: u32, value: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k: value };
    let unless_equal_skip = |value: u32, skip: u8| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: 0,
        jf: skip,
        k: value,
    };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    // `struct seccomp_data`: the number of the call at 0, its first argument at 16, least significant half first or last.
    let first_argument = if cfg!(target_endian = "big") { 20 } else { 16 };
    let mut filter = [
        statement(load, 0),
        unless_equal_skip(libc::SYS_bpf as u32, 3),
        statement(load, first_argument),
        unless_equal_skip(BPF_BTF_LOAD, 1),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::ENOTSUP.cast_unsigned()),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the filter outlives the call, which copies it.
    match unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

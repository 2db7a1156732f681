//! What the kernel's verifier makes of each program: what it costs to load it, and what comes of it.
//!
//! Loads by `bpf(2)` itself, for aya keeps what the verifier says of a program that it accepts. Nothing of BTF is given to the
//! kernel: neither what the maps hold nor where an instruction comes from.

use std::{
    collections::{BTreeMap, HashSet},
    ffi::CStr,
    io,
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
};

use anyhow::{Context, Result, bail};
use aya::maps::MapData;
use aya_obj::{Object, ProgramSection, generated::bpf_insn};
use serde::Serialize;

use super::object;

/// Commands of `bpf(2)`.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
/// Program types.
const SCHED_CLS: u32 = 3;
const XDP: u32 = 6;
/// Have the verifier say what it did, and nothing of the single instructions.
const BPF_LOG_STATS: u32 = 4;

/// What one program comes to.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// Instructions that were given to the kernel.
    pub instructions: usize,
    /// Instructions that the verifier walked through, on all paths: at most a million.
    pub verified: u64,
    /// Bytes of stack, of all functions that can be called at a time: at most 512.
    pub stack: u32,
    /// How long the verifier took, microseconds.
    pub verifier_us: u64,
    /// Bytes of machine code.
    pub machine_code: u32,
}

/// Loads every program of the object and lets it go again.
pub fn costs() -> Result<BTreeMap<String, Cost>> {
    let path = object::path()?;
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut object = Object::parse(&bytes).with_context(|| format!("cannot parse {}", path.display()))?;
    let mut maps = Vec::new();
    for (name, mut map) in object.maps.drain() {
        if let Some(size) = object::size_for_tests(&name) {
            map.set_max_entries(size);
        }
        let created = MapData::create(map.clone(), &name, None);
        maps.push((created.with_context(|| format!("cannot create map {name}"))?, name, map));
    }
    let text_sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    let places = maps.iter().map(|(created, name, map)| (name.as_str(), created.fd().as_fd().as_raw_fd(), map));
    object.relocate_maps(places, &text_sections)?;
    object.relocate_calls(&text_sections)?;

    let mut costs = BTreeMap::new();
    for (name, program) in &object.programs {
        let kind = match program.section {
            ProgramSection::Xdp { .. } => XDP,
            ProgramSection::SchedClassifier => SCHED_CLS,
            _ => bail!("{name} is neither an XDP nor a TC program"),
        };
        let instructions = &object.functions[&program.function_key()].instructions;
        let cost = cost(kind, instructions, &program.license);
        costs.insert(name.clone(), cost.with_context(|| format!("the kernel refuses {name}"))?);
    }
    Ok(costs)
}

fn cost(kind: u32, instructions: &[bpf_insn], license: &CStr) -> Result<Cost> {
    let mut log = vec![0_u8; 1 << 16];
    let mut load = ProgramLoad {
        kind,
        instruction_count: instructions.len() as u32,
        instructions: instructions.as_ptr().addr() as u64,
        license: license.as_ptr().addr() as u64,
        log_level: BPF_LOG_STATS,
        log_size: log.len() as u32,
        log: log.as_mut_ptr().addr() as u64,
    };
    let loaded = bpf(BPF_PROG_LOAD, &mut load);
    let log = String::from_utf8_lossy(log.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
    let program = match loaded {
        // SAFETY: the descriptor is new and nobody else's.
        Ok(fd) => unsafe { OwnedFd::from_raw_fd(fd) },
        Err(error) => bail!("{error}\n{log}"),
    };

    let mut info = ProgramInfo::default();
    let mut query = InfoQuery {
        fd: program.as_raw_fd().cast_unsigned(),
        size: size_of::<ProgramInfo>() as u32,
        info: (&raw mut info).addr() as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut query).context("cannot look at the program")?;
    Ok(Cost {
        instructions: instructions.len(),
        verified: number_after(&log, "processed ").context("the verifier did not say what it processed")?,
        stack: stack(&log).with_context(|| format!("the verifier did not say how deep the stack is:\n{log}"))?,
        verifier_us: number_after(&log, "verification time ").context("the verifier did not say how long it took")?,
        machine_code: info.machine_code,
    })
}

/// The number that follows these words.
fn number_after(log: &str, words: &str) -> Option<u64> {
    let rest = &log[log.find(words)? + words.len()..];
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The sum of `stack depth 136+0+16`, the functions of a program, or the number of `stack depth max 152`, as kernels say
/// since 7.x.
fn stack(log: &str) -> Option<u32> {
    let depths = log.lines().find_map(|line| line.strip_prefix("stack depth "))?;
    let depths = depths.strip_prefix("max ").unwrap_or(depths);
    let depths = depths.split(|c: char| c != '+' && !c.is_ascii_digit()).next()?;
    depths.split('+').map(|depth| depth.parse::<u32>().ok()).sum()
}

/// The first fields of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
struct ProgramLoad {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
}

/// The fields of `union bpf_attr` for `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct InfoQuery {
    fd: u32,
    size: u32,
    info: u64,
}

/// The first fields of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    machine_code: u32,
    translated: u32,
}

fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: the attributes are those of the command, and what they point to outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

#[cfg(test)]
mod tests {
    use super::{number_after, stack};

    #[test]
    fn the_verifiers_sums_are_read() {
        let log = "verification time 9312 usec\nstack depth 136+0+16\n\
            processed 5734 insns (limit 1000000) max_states_per_insn 4 total_states 250 peak_states 250 mark_read 30\n";
        assert_eq!(number_after(log, "verification time "), Some(9312));
        assert_eq!(number_after(log, "processed "), Some(5734));
        assert_eq!(stack(log), Some(152));
        assert_eq!(
            stack("stack depth max 16\nsubprog 0 (<unknown>) main insns_self 3 insns_total 3 stack 16\n"),
            Some(16)
        );
        assert_eq!(number_after("", "processed "), None);
    }
}

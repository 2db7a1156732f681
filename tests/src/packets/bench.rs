//! Runs one packet through one program and compares everything that comes out.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use aya::Ebpf;
use aya::programs::{Program, SchedClassifier, TestRun as _, TestRunOptions, Xdp};
use mipd_common::maps::{Counter, StationEvent, hook};

use super::{maps::Maps, object};

/// What the program returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Left to the kernel.
    Pass,
    /// Dropped.
    Drop,
    /// Sent or received elsewhere. A test run does not show where; the end-to-end tests do.
    Redirect,
}

/// What is expected of a program.
#[derive(Clone, Debug)]
pub struct Expect {
    /// What becomes of the packet.
    pub fate: Fate,
    /// Why: this counter is 1 and all others are 0.
    pub counter: Counter,
    /// The packet afterwards; `None`: unchanged.
    pub bytes: Option<Vec<u8>>,
    /// The outer identification may be anything.
    pub any_identification: bool,
    /// The firewall mark afterwards (TC).
    pub mark: u32,
    /// The kind and address of each event.
    pub events: Vec<(u16, [u8; 4])>,
}

impl Expect {
    fn new(fate: Fate, counter: Counter) -> Self {
        Self { fate, counter, bytes: None, any_identification: false, mark: 0, events: Vec::new() }
    }

    /// Left to the kernel, unchanged.
    pub fn pass(counter: Counter) -> Self {
        Self::new(Fate::Pass, counter)
    }

    /// Dropped.
    pub fn drop(counter: Counter) -> Self {
        Self::new(Fate::Drop, counter)
    }

    /// Redirected, unchanged.
    pub fn redirect(counter: Counter) -> Self {
        Self::new(Fate::Redirect, counter)
    }

    /// The packet looks like this afterwards.
    #[must_use]
    pub fn bytes(mut self, bytes: Vec<u8>) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// The outer header may have any identification (its checksum must be right).
    #[must_use]
    pub fn any_identification(mut self) -> Self {
        self.any_identification = true;
        self
    }

    /// The packet has this mark afterwards.
    #[must_use]
    pub fn mark(mut self, mark: u32) -> Self {
        self.mark = mark;
        self
    }

    /// The agent is told.
    #[must_use]
    pub fn event(mut self, kind: u16, address: std::net::Ipv4Addr) -> Self {
        self.events.push((kind, address.octets()));
        self
    }
}

/// What came out of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What becomes of the packet.
    pub fate: Fate,
    /// The packet afterwards.
    pub bytes: Vec<u8>,
    /// The firewall mark afterwards.
    pub mark: u32,
}

/// What a TC program is told beside the packet.
#[derive(Clone, Copy, Default, Debug)]
pub struct SocketBuffer {
    /// Firewall mark before.
    pub mark: u32,
    /// Bytes per segment of a buffer that holds several.
    pub gso_size: u32,
}

/// Offsets in `struct __sk_buff`, which is as long as this.
const SK_BUFF_LENGTH: usize = 192;
const SK_BUFF_MARK: usize = 8;
const SK_BUFF_GSO_SIZE: usize = 176;

/// Whether programs may be run. Without root the test says so and passes.
pub fn privileged() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: running kernel programs needs root; use `cargo xtask test`");
    }
    root
}

/// Loads one program with fresh maps.
pub fn load(program: &str) -> Result<Ebpf> {
    let mut object = object::open(&[])?;
    object::load_program(&mut object, program)?;
    Ok(object)
}

/// Runs `packet` through a program of `object`.
pub fn run(object: &mut Ebpf, program: &str, packet: &[u8], buffer: SocketBuffer) -> Result<Outcome> {
    let mut out = vec![0; packet.len() + 256];
    let loaded = object.program_mut(program).with_context(|| format!("the object has no program {program}"))?;
    match loaded {
        Program::Xdp(xdp) => run_xdp(xdp, packet, &mut out),
        Program::SchedClassifier(tc) => run_tc(tc, packet, &mut out, buffer),
        _ => bail!("{program} is neither an XDP nor a TC program"),
    }
}

fn run_xdp(program: &Xdp, packet: &[u8], out: &mut [u8]) -> Result<Outcome> {
    let options = TestRunOptions { data_in: Some(packet), data_out: Some(out), ..TestRunOptions::default() };
    let result = program.test_run(options)?;
    let fate = match result.return_value {
        1 => Fate::Drop,
        2 => Fate::Pass,
        3 | 4 => Fate::Redirect,
        other => bail!("XDP verdict {other}"),
    };
    Ok(Outcome { fate, bytes: out[..result.data_size_out as usize].to_vec(), mark: 0 })
}

fn run_tc(program: &SchedClassifier, packet: &[u8], out: &mut [u8], buffer: SocketBuffer) -> Result<Outcome> {
    let mut context = [0; SK_BUFF_LENGTH];
    context[SK_BUFF_MARK..SK_BUFF_MARK + 4].copy_from_slice(&buffer.mark.to_ne_bytes());
    context[SK_BUFF_GSO_SIZE..SK_BUFF_GSO_SIZE + 4].copy_from_slice(&buffer.gso_size.to_ne_bytes());
    let mut context_out = [0; SK_BUFF_LENGTH];
    let options = TestRunOptions {
        data_in: Some(packet),
        data_out: Some(out),
        ctx_in: Some(&context),
        ctx_out: Some(&mut context_out),
        ..TestRunOptions::default()
    };
    let result = program.test_run(options)?;
    let fate = match result.return_value.cast_signed() {
        -1 => Fate::Pass,
        2 => Fate::Drop,
        7 => Fate::Redirect,
        other => bail!("TC verdict {other}"),
    };
    let mark = u32::from_ne_bytes(context_out[SK_BUFF_MARK..SK_BUFF_MARK + 4].try_into()?);
    Ok(Outcome { fate, bytes: out[..result.data_size_out as usize].to_vec(), mark })
}

/// Compares a run with what is expected of it: verdict, bytes, mark, events, and the counters of `hook`, all rows.
/// Returns the differences, empty if there are none.
pub fn compare(object: &mut Ebpf, hook: u32, packet: &[u8], outcome: &Outcome, expect: &Expect) -> Result<String> {
    let mut differences = String::new();
    let counted = Maps(object).counted()?;
    if counted.len() != 1 || (counted[0].1, counted[0].2, counted[0].3) != (hook, expect.counter, 1) {
        let names: Vec<_> = counted
            .iter()
            .map(|(row, hook, counter, packets)| format!("{} row {row} hook {hook}: {packets}", counter.name()))
            .collect();
        writeln!(differences, "  counted {names:?}, expected {} once at hook {hook}", expect.counter.name())?;
    }
    if outcome.fate != expect.fate {
        writeln!(differences, "  verdict {:?}, expected {:?}", outcome.fate, expect.fate)?;
    }
    let mut expected_bytes = expect.bytes.clone().unwrap_or_else(|| packet.to_vec());
    if expect.any_identification {
        adopt_identification(&mut expected_bytes, &outcome.bytes);
    }
    if outcome.fate != Fate::Drop && outcome.bytes != expected_bytes {
        writeln!(differences, "  packet   {}\n  expected {}", hex(&outcome.bytes), hex(&expected_bytes))?;
    }
    if hook != hook::XDP && outcome.fate != Fate::Drop && outcome.mark != expect.mark {
        writeln!(differences, "  mark {:#x}, expected {:#x}", outcome.mark, expect.mark)?;
    }
    let events: Vec<_> =
        Maps(object).events()?.iter().map(|event: &StationEvent| (event.kind, event.address)).collect();
    if events != expect.events {
        writeln!(differences, "  events {events:?}, expected {:?}", expect.events)?;
    }
    Ok(differences)
}

/// Takes over the outer identification and corrects the checksum by as much.
fn adopt_identification(expected: &mut [u8], actual: &[u8]) {
    if expected.len() != actual.len() || expected.len() < 34 {
        return;
    }
    expected[18..20].copy_from_slice(&actual[18..20]);
    expected[24..26].fill(0);
    let mut sum: u32 = expected[14..34].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    expected[24..26].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(96).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

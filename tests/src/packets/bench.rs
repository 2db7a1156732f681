//! Runs one packet through one program.

use anyhow::{Context, Result, bail};
use aya::Ebpf;
use aya::programs::{Program, SchedClassifier, TestRun as _, TestRunOptions, Xdp};

use super::expect::Fate;

/// What came out of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What becomes of the packet; [`Fate::Transmit`] for everything that leaves.
    pub fate: Fate,
    /// The packet afterwards.
    pub bytes: Vec<u8>,
    /// The firewall mark afterwards.
    pub mark: u32,
}

/// What a program is told beside the packet.
#[derive(Clone, Copy, Default, Debug)]
pub struct SocketBuffer {
    /// Firewall mark before (TC).
    pub mark: u32,
    /// Bytes per segment of a buffer that holds several (TC).
    pub gso_size: u32,
    /// Bytes of metadata in front of the packet, which leave so much less headroom (XDP, from kernel 5.15 on).
    pub metadata: u32,
    /// Whether the packet was received and is forwarded, not made here (tunnel devices).
    pub forwarded: bool,
    /// Whether the buffer holds one large UDP datagram for "hardware" to fragment (tunnel devices).
    pub datagram: bool,
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

/// Runs `packet` through a program of `object`.
pub fn run(object: &mut Ebpf, program: &str, packet: &[u8], buffer: SocketBuffer) -> Result<Outcome> {
    let mut out = vec![0; packet.len() + 512];
    let loaded = object.program_mut(program).with_context(|| format!("the object has no program {program}"))?;
    match loaded {
        Program::Xdp(xdp) => run_xdp(xdp, packet, &mut out, buffer),
        Program::SchedClassifier(tc) => run_tc(tc, packet, &mut out, buffer),
        _ => bail!("{program} is neither an XDP nor a TC program"),
    }
}

fn run_xdp(program: &Xdp, packet: &[u8], out: &mut [u8], buffer: SocketBuffer) -> Result<Outcome> {
    // `struct xdp_md`: data, data_end, data_meta and three numbers that say "loopback".
    let words = [buffer.metadata, buffer.metadata + packet.len() as u32, 0, 0, 0, 0];
    let context: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let with_metadata: Vec<u8> = [vec![0; buffer.metadata as usize], packet.to_vec()].concat();
    let options = TestRunOptions {
        data_in: Some(&with_metadata),
        data_out: Some(out),
        ctx_in: (buffer.metadata != 0).then_some(&context),
        ..TestRunOptions::default()
    };
    let result = program.test_run(options)?;
    let fate = match result.return_value {
        1 => Fate::Drop,
        2 => Fate::Pass,
        3 | 4 => Fate::Transmit,
        other => bail!("XDP verdict {other}"),
    };
    // What is given back begins with the metadata.
    let bytes = out[buffer.metadata as usize..result.data_size_out as usize].to_vec();
    Ok(Outcome { fate, bytes, mark: 0 })
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
        7 => Fate::Transmit,
        other => bail!("TC verdict {other}"),
    };
    let mark = u32::from_ne_bytes(context_out[SK_BUFF_MARK..SK_BUFF_MARK + 4].try_into()?);
    Ok(Outcome { fate, bytes: out[..result.data_size_out as usize].to_vec(), mark })
}

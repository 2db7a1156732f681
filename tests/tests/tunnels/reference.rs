//! A hundred packets through the tunnel and back, byte for byte as Scapy builds them.

use std::net::Ipv4Addr;
use std::path::Path as File;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mipd_common::mac::MacAddress;
use mipd_lab::capture::Capture;
use mipd_lab::chain::{
    CARE_OF, CLIENT, CLIENT_MAC, CORRESPONDENT, CORRESPONDENT_MAC, Chain, HOME_AGENT, HOME_CN, Joined, Path, VISIT_LAN,
    WIRES,
};
use mipd_lab::packets::encapsulation::Encapsulation;
use mipd_lab::packets::expect::hex;
use mipd_lab::packets::frame::Frame;
use mipd_lab::packets::inner;
use mipd_lab::packets::ipv4::Ipv4;
use mipd_lab::scapy::{self, Script};
use mipd_lab::traffic::frames::FramePort;
use mipd_lab::wait;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(10);
/// Packets each way.
const PACKETS: usize = 50;

/// One way through the chain.
struct Way {
    packets: Vec<Ipv4>,
    /// Entry and exit of the tunnel.
    ends: [Ipv4Addr; 2],
    /// Seen from its entry.
    encapsulation: Encapsulation,
    /// Whom the packets reach.
    receiver: MacAddress,
}

/// All that a tunnel must carry, and then all sizes up to the largest that every encapsulation takes.
fn packets(source: Ipv4Addr, destination: Ipv4Addr) -> Vec<Ipv4> {
    let all = inner::packets(source, destination).into_iter();
    // Two routers are on the way.
    let mut packets: Vec<Ipv4> = all.map(|(_, packet)| packet).filter(|packet| packet.bytes()[8] > 2).collect();
    let sizes = (packets.len()..PACKETS).map(|number| {
        let length = 1 + (number * 1103) % 1380;
        let packet = match number % 3 {
            0 => Ipv4::udp((source, 7), (destination, 9), length),
            1 => Ipv4::tcp_data((source, 7), (destination, 9), length),
            _ => Ipv4::echo(source, destination, length),
        };
        let packet = packet.tos((number * 37) as u8).identification(number as u16 * 1301).ttl(3 + number as u8);
        if number % 2 == 0 { packet.may_fragment() } else { packet }
    });
    packets.extend(sizes);
    packets
}

fn run(path: Path) -> Result<()> {
    if !mipd_lab::available() || !scapy::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let mut chain = Chain::build("reference", Joined::ByWires, path)?;
    let mut scapy = Script::start(&chain.lab, &chain.correspondent, &script())?;
    let mut captures = Vec::new();
    for wire in WIRES {
        captures.push(Capture::start(&chain.lab, wire, &chain.lab.directory().join(format!("{wire}.pcap")))?);
    }
    for &encapsulation in Encapsulation::ALL {
        chain.wrap(encapsulation)?;
        let exchanged = exchange(&chain, encapsulation, &captures, &mut scapy);
        exchanged.with_context(|| format!("{} by {path:?}", encapsulation.name()))?;
    }
    captures.into_iter().try_for_each(|capture| capture.stop().map(drop))
}

/// Sends both ways, and compares what crossed the tunnel and what came out.
fn exchange(chain: &Chain, encapsulation: Encapsulation, captures: &[Capture], scapy: &mut Script) -> Result<()> {
    let [cn, core, lan] = captures else { unreachable!("there are three wires") };
    let before = [cn, core, lan].map(|capture| capture.frames().map(|frames| frames.len()));
    let [cn_before, core_before, lan_before] = before;
    let (cn, core, lan) = ((cn, cn_before?), (core, core_before?), (lan, lan_before?));
    let ways = [
        Way {
            packets: packets(CORRESPONDENT, CLIENT),
            ends: [HOME_AGENT, CARE_OF],
            encapsulation: encapsulation.reversed().reversed(),
            receiver: CLIENT_MAC,
        },
        Way {
            packets: packets(CLIENT, CORRESPONDENT),
            ends: [CARE_OF, HOME_AGENT],
            encapsulation: encapsulation.reversed(),
            receiver: CORRESPONDENT_MAC,
        },
    ];
    // Nobody at the ends has an address, so that nobody answers.
    let correspondent = FramePort::open(&chain.correspondent, "eth0")?;
    let client = FramePort::open(&chain.client, "eth0")?;
    for (down, up) in ways[0].packets.iter().zip(&ways[1].packets) {
        correspondent.send(&Frame::new(CORRESPONDENT_MAC, HOME_CN).ipv4(down).bytes())?;
        client.send(&Frame::new(CLIENT_MAC, VISIT_LAN).ipv4(up).bytes())?;
    }
    for (way, end) in ways.iter().zip([lan, cn]) {
        let sent =
            packets_on(core, |frame| frame[26..30] == way.ends[0].octets() && frame[30..34] == way.ends[1].octets())?;
        compare("in the tunnel", sent, way.wrapped(scapy)?)?;
        let arrived = packets_on(end, |frame| frame[..6] == way.receiver.0)?;
        compare("at the end", arrived, way.arriving(scapy)?)?;
    }
    Ok(())
}

impl Way {
    fn hex(&self) -> Vec<String> {
        self.packets.iter().map(|packet| hex(&packet.bytes())).collect()
    }

    fn wrapped(&self, scapy: &mut Script) -> Result<Vec<Vec<u8>>> {
        unhex(&scapy.ask(&json!({
            "op": "wrap", "kind": self.encapsulation.base(), "key": self.encapsulation.send_key().map(|key| hex(&key)),
            "ports": self.encapsulation.ports(), "source": self.ends[0], "destination": self.ends[1],
            "packets": self.hex(),
        }))?)
    }

    fn arriving(&self, scapy: &mut Script) -> Result<Vec<Vec<u8>>> {
        unhex(&scapy.ask(&json!({"op": "hop", "hops": 2, "packets": self.hex()}))?)
    }
}

/// The IPv4 packets in frames that `wanted` accepts, as soon as there are enough of them on a wire after those captured before.
fn packets_on((capture, before): (&Capture, usize), wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let all = wait::until(PATIENCE, || {
        let frames = capture.frames()?.into_iter().skip(before);
        found = frames.filter(|frame| frame.len() >= 34 && frame[12..14] == [8, 0] && wanted(frame)).collect();
        Ok((found.len() >= PACKETS).then_some(()))
    })?;
    all.with_context(|| format!("only {} of {PACKETS} packets were seen", found.len()))?;
    Ok(found.into_iter().map(|frame| frame[14..].to_vec()).collect())
}

/// Compares packets in any order, without what is random.
fn compare(place: &str, mut sent: Vec<Vec<u8>>, mut expected: Vec<Vec<u8>>) -> Result<()> {
    for packet in sent.iter_mut().chain(&mut expected) {
        // An outer header that may be fragmented has any identification (RFC 6864 section 4.2).
        if packet[6] & 0x40 == 0 {
            packet[4..6].fill(0);
            packet[10..12].fill(0);
        }
    }
    sent.sort();
    expected.sort();
    ensure!(sent.len() == expected.len(), "{place}: {} packets, not {}", sent.len(), expected.len());
    for (sent, expected) in sent.iter().zip(&expected) {
        ensure!(sent == expected, "{place}:\n  {}\n  {} is Scapy's", hex(sent), hex(expected));
    }
    Ok(())
}

fn unhex(packets: &Value) -> Result<Vec<Vec<u8>>> {
    let packets = packets.as_array().context("Scapy gives no list")?.iter();
    packets.map(|packet| bytes(packet.as_str().context("Scapy gives no text")?)).collect()
}

fn bytes(text: &str) -> Result<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&text[at..at + 2], 16)?)).collect()
}

fn script() -> std::path::PathBuf {
    File::new(env!("CARGO_MANIFEST_DIR")).join("tests/tunnels/wrap.py")
}

#[test]
fn xdp_wraps_packets_as_scapy_does() -> Result<()> {
    run(Path::Xdp)
}

#[test]
fn tc_wraps_packets_as_scapy_does() -> Result<()> {
    run(Path::Tc)
}

#[test]
fn the_tunnel_devices_wrap_packets_as_scapy_does() -> Result<()> {
    run(Path::Kernel)
}

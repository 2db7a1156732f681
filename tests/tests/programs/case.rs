//! One line of the table: a packet, the world it arrives in, and what each hook does with it.

use aya::util::KernelVersion;
use mipd_common::maps::hook::XDP;
use mipd_lab::packets::bench::SocketBuffer;
use mipd_lab::packets::expect::Expect;
use mipd_lab::packets::frame::Frame;
use mipd_lab::packets::ipv4::Ipv4;

use crate::world::World;

type Change = Box<dyn Fn(&mut World) + Send + Sync>;

/// A packet and what becomes of it.
pub struct Case {
    /// A sentence, or the part of one that tells the case from its neighbours.
    pub description: String,
    /// The frame that arrives; on a tunnel device the packet that leaves.
    pub packet: Vec<u8>,
    /// What the socket buffer says beside it.
    pub buffer: SocketBuffer,
    changes: Vec<Change>,
    everywhere: Expect,
    at_xdp: Option<Answer>,
    at_tc: Option<Answer>,
    /// The oldest kernel, major and minor version, that lets XDP be asked.
    xdp_since: (u8, u8),
}

/// What is expected at one hook.
#[derive(Clone)]
pub enum Answer {
    /// This.
    Expect(Expect),
    /// The packet cannot be had there, or means nothing, because…
    NotRun(&'static str),
}

/// What a case begins with: a frame, or a packet where there is no Ethernet.
pub struct Packet(Vec<u8>);

impl From<Frame> for Packet {
    fn from(frame: Frame) -> Self {
        Self(frame.bytes())
    }
}

impl From<&Ipv4> for Packet {
    fn from(packet: &Ipv4) -> Self {
        Self(packet.bytes())
    }
}

impl From<Vec<u8>> for Packet {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// A case with the same outcome at every hook of its family, in the plain world.
pub fn case(description: impl Into<String>, packet: impl Into<Packet>, everywhere: Expect) -> Case {
    Case {
        description: description.into(),
        packet: packet.into().0,
        buffer: SocketBuffer::default(),
        changes: Vec::new(),
        everywhere,
        at_xdp: None,
        at_tc: None,
        xdp_since: (0, 0),
    }
}

impl Case {
    /// In a world that differs. Several changes are made in the order given.
    pub fn when(mut self, change: impl Fn(&mut World) + Send + Sync + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// With this in the socket buffer beside the packet.
    pub fn buffer(mut self, buffer: SocketBuffer) -> Self {
        self.buffer = buffer;
        self
    }

    /// At XDP, something else is expected.
    pub fn xdp(mut self, expect: Expect) -> Self {
        self.at_xdp = Some(Answer::Expect(expect));
        self
    }

    /// At TC, something else is expected.
    pub fn tc(mut self, expect: Expect) -> Self {
        self.at_tc = Some(Answer::Expect(expect));
        self
    }

    /// Not at XDP, because…
    pub fn not_at_xdp(mut self, reason: &'static str) -> Self {
        self.at_xdp = Some(Answer::NotRun(reason));
        self
    }

    /// Not at TC, because…
    pub fn not_at_tc(mut self, reason: &'static str) -> Self {
        self.at_tc = Some(Answer::NotRun(reason));
        self
    }

    /// At XDP only on this kernel or a newer one.
    pub fn xdp_since(mut self, major: u8, minor: u8) -> Self {
        self.xdp_since = (major, minor);
        self
    }

    /// Whether this kernel can be asked at a hook.
    pub fn can_run(&self, hook: u32) -> bool {
        let (major, minor) = self.xdp_since;
        hook != XDP || KernelVersion::current().is_ok_and(|kernel| kernel >= KernelVersion::new(major, minor, 0))
    }

    /// The world of this case.
    pub fn world(&self) -> World {
        let mut world = World::default();
        for change in &self.changes {
            change(&mut world);
        }
        world
    }

    /// What is expected at a hook.
    pub fn answer(&self, hook: u32) -> Answer {
        let special = if hook == XDP { &self.at_xdp } else { &self.at_tc };
        special.clone().unwrap_or_else(|| Answer::Expect(self.everywhere.clone()))
    }
}

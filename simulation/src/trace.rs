//! What happened: a hash over everything, and the last notes on each client and on the boxes.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    hash::{Hash, Hasher},
    net::Ipv4Addr,
};

use mipd_agent::{
    mobility::time::Instant,
    wire::types::{Identification, Lifetime, ReplyCode},
};

/// How many notes are kept of each client.
const NOTES_OF_A_CLIENT: usize = 40;
/// How many notes are kept of all boxes.
const NOTES_OF_BOXES: usize = 200;

/// A box.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Node {
    /// A router, by its subnet.
    Router(usize),
    /// An access point.
    AccessPoint(usize),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Router(router) => write!(f, "router {router}"),
            Self::AccessPoint(access_point) => write!(f, "access point {access_point}"),
        }
    }
}

/// One thing that happened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Note {
    /// A client went to an access point, or away.
    Roams(Option<usize>),
    /// A client sent a frame.
    Speaks(usize),
    /// An access point's kernel reported something about a client.
    Reported(usize, &'static str),
    /// An access point treats a client so from now on.
    Station(usize, &'static str),
    /// An access point asked whether a client is there.
    Asked(usize),
    /// The client answered.
    Answers(usize),
    /// An access point sent a request.
    Requests(usize, Identification, Lifetime, Ipv4Addr),
    /// A request reached a router.
    Request(usize, Identification),
    /// A reply left a box.
    Replies(Node, ReplyCode, Identification),
    /// A reply reached a box.
    Reply(Node, ReplyCode, Identification),
    /// A home agent has this binding now.
    Bound(usize, Ipv4Addr),
    /// A home agent has no binding now.
    Unbound(usize),
    /// A foreign agent has the visitor now.
    Visits(usize),
    /// A foreign agent has the visitor no more.
    Gone(usize),
    /// A router sent something else than registrations.
    Sends(Node, &'static str),
    /// The network lost a message.
    Lost(&'static str),
    /// A hostile node sent something.
    Attacked(Node, &'static str),
    /// Something befell a box.
    Befell(Node, &'static str),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id =
            |identification: &Identification| format!("{:08x}.{:08x}", identification.seconds(), identification.low());
        match self {
            Self::Roams(Some(to)) => write!(f, "roams to access point {to}"),
            Self::Roams(None) => f.write_str("is out of reach"),
            Self::Speaks(at) => write!(f, "speaks at access point {at}"),
            Self::Reported(at, what) => write!(f, "access point {at}: its kernel reports {what}"),
            Self::Station(at, state) => write!(f, "access point {at}: station {state}"),
            Self::Asked(at) => write!(f, "access point {at} asks it"),
            Self::Answers(at) => write!(f, "answers access point {at}"),
            Self::Requests(at, identification, lifetime, care_of) => {
                let identification = id(identification);
                write!(f, "access point {at} requests {identification}, {} s, care of {care_of}", lifetime.0)
            }
            Self::Request(router, identification) => write!(f, "router {router} gets request {}", id(identification)),
            Self::Replies(node, code, identification) => {
                write!(f, "{node} replies code {} to {}", code.0, id(identification))
            }
            Self::Reply(node, code, identification) => {
                write!(f, "{node} gets reply code {} to {}", code.0, id(identification))
            }
            Self::Bound(router, care_of) => write!(f, "router {router} binds it to {care_of}"),
            Self::Unbound(router) => write!(f, "router {router} has no binding"),
            Self::Visits(router) => write!(f, "router {router} has it as visitor"),
            Self::Gone(router) => write!(f, "router {router} has it as visitor no more"),
            Self::Sends(node, what) => write!(f, "{node} sends {what}"),
            Self::Lost(what) => write!(f, "lost: {what}"),
            Self::Attacked(node, what) => write!(f, "hostile to {node}: {what}"),
            Self::Befell(node, what) => write!(f, "{node} {what}"),
        }
    }
}

/// Everything noted so far.
#[derive(Debug)]
pub struct Trace {
    hasher: Fnv,
    count: u64,
    clients: Vec<VecDeque<(Instant, Note)>>,
    boxes: VecDeque<(Instant, Note)>,
    /// Print the notes on this client, and those on boxes, at once.
    aloud: Option<usize>,
}

impl Trace {
    /// Of so many clients.
    pub fn new(clients: usize, aloud: Option<usize>) -> Self {
        Self {
            hasher: Fnv::default(),
            count: 0,
            clients: vec![VecDeque::new(); clients],
            boxes: VecDeque::new(),
            aloud,
        }
    }

    /// Notes something on a client, or on a box alone.
    pub fn note(&mut self, at: Instant, client: Option<usize>, note: Note) {
        (at.0, client, note).hash(&mut self.hasher);
        self.count += 1;
        let (notes, limit) = match client {
            Some(client) => (&mut self.clients[client], NOTES_OF_A_CLIENT),
            None => (&mut self.boxes, NOTES_OF_BOXES),
        };
        if notes.len() == limit {
            notes.pop_front();
        }
        notes.push_back((at, note));
        if self.aloud.is_some() && (client.is_none() || client == self.aloud) {
            println!("{}", line(at, &note));
        }
    }

    /// The same for the same seed, always.
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// How many things were noted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The last notes on a client, among them those on boxes of the same time, one per line.
    pub fn history(&self, client: Option<usize>) -> String {
        let own = client.into_iter().flat_map(|client| &self.clients[client]);
        let since = own.clone().map(|(at, _)| *at).min().unwrap_or_default();
        let boxes = self.boxes.iter().filter(|(at, _)| *at >= since);
        let mut notes: Vec<_> = own.chain(boxes).collect();
        notes.sort_by_key(|(at, _)| *at);
        notes.into_iter().fold(String::new(), |mut text, (at, note)| {
            let _ = writeln!(text, "{}", line(*at, note));
            text
        })
    }
}

fn line(at: Instant, note: &Note) -> String {
    format!("{:11.4}  {note}", at.0.as_secs_f64())
}

/// FNV-1a: the standard library promises no hash function that stays the same.
#[derive(Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

//! Which firewall and NAT chains the fast path bypasses.

use std::{fs, io};

use netlink_sys::{Socket, protocols::NETLINK_NETFILTER};

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN`
const GET_CHAIN: u16 = 10 << 8 | 4;
/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN`
const NEW_CHAIN: u16 = 10 << 8 | 3;
const HEADER: usize = 16;
/// `struct nfgenmsg`
const GENERIC_HEADER: usize = 4;

const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;

/// `NF_INET_FORWARD`
const FORWARD: u32 = 2;
const FAMILIES: [(u8, &str); 2] = [(1, "inet"), (2, "ip")];

/// Chains that filter forwarded IPv4 packets or translate addresses: nftables', and the tables of the old iptables. Each
/// is named as an administrator would.
pub(super) fn chains_bypassed() -> io::Result<Vec<String>> {
    let mut found = legacy_tables()?;
    let socket = Socket::new(NETLINK_NETFILTER)?;
    match dump(&socket) {
        Ok(messages) => found.extend(messages.iter().filter_map(|message| describe(message))),
        // A kernel without nftables.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP | libc::EPROTONOSUPPORT)) => {
        }
        Err(error) => return Err(error),
    }
    Ok(found)
}

fn legacy_tables() -> io::Result<Vec<String>> {
    match fs::read_to_string("/proc/thread-self/net/ip_tables_names") {
        Ok(names) => Ok(names
            .lines()
            .filter(|name| ["nat", "filter", "mangle"].contains(name))
            .map(|name| format!("iptables table {name}"))
            .collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// All chains, each as its `nfgenmsg` and attributes.
fn dump(socket: &Socket) -> io::Result<Vec<Vec<u8>>> {
    let mut request = Vec::with_capacity(HEADER + GENERIC_HEADER);
    request.extend(((HEADER + GENERIC_HEADER) as u32).to_ne_bytes());
    request.extend(GET_CHAIN.to_ne_bytes());
    request.extend(((libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16).to_ne_bytes());
    request.extend([0; 8 + GENERIC_HEADER]);
    socket.send(&request, 0)?;
    let mut messages = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while let Some((length, kind)) = header(rest) {
            let (message, next) = rest.split_at(length);
            match i32::from(kind) {
                libc::NLMSG_DONE => return Ok(messages),
                libc::NLMSG_ERROR => {
                    let code =
                        message.get(HEADER..).and_then(<[u8]>::first_chunk).map_or(0, |code| i32::from_ne_bytes(*code));
                    return Err(io::Error::from_raw_os_error(-code));
                }
                _ if kind == NEW_CHAIN => messages.push(message[HEADER..].to_vec()),
                _ => {}
            }
            rest = next.get(length.next_multiple_of(4) - length..).unwrap_or_default();
        }
    }
}

fn header(bytes: &[u8]) -> Option<(usize, u16)> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    (HEADER..=bytes.len()).contains(&length).then_some((length, kind))
}

/// The chain's name if packets of ours should have passed it.
fn describe(message: &[u8]) -> Option<String> {
    let (_, family) = FAMILIES.into_iter().find(|(number, _)| Some(number) == message.first())?;
    let attributes = message.get(GENERIC_HEADER..)?;
    let hook = attribute(attributes, CHAIN_HOOK).and_then(|hook| attribute(hook, HOOK_NUMBER))?;
    let hook = u32::from_be_bytes(*hook.first_chunk()?);
    let kind = text(attribute(attributes, CHAIN_TYPE)?);
    let purpose = match kind.as_str() {
        "nat" => "NAT",
        "filter" if hook == FORWARD => "firewall",
        _ => return None,
    };
    let table = text(attribute(attributes, CHAIN_TABLE)?);
    let name = text(attribute(attributes, CHAIN_NAME)?);
    Some(format!("{purpose} chain {family} {table} {name}"))
}

fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    const HEADER: usize = 4;
    const TYPE_MASK: u16 = 0x3fff;
    loop {
        let length = u16::from_ne_bytes(*attributes.first_chunk()?) as usize;
        let kind = u16::from_ne_bytes(*attributes.get(2..)?.first_chunk()?) & TYPE_MASK;
        let value = attributes.get(HEADER..length)?;
        if kind == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.split(|&byte| byte == 0).next().unwrap_or_default()).into_owned()
}

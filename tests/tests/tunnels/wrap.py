"""Tunnel packets as Scapy builds them, from the packets that go in.

Reads one JSON object per line and answers each with one:

    {"op": "wrap", "kind": "IP-in-IP" | "GRE" | "minimal", "key": HEX or null, "ports": [FROM, TO] or null,
     "source": ADDRESS, "destination": ADDRESS, "packets": [HEX, ...]}       what a tunnel's entry sends for each

    {"op": "hop", "hops": N, "packets": [HEX, ...]}                          the packets after so many routers

An entry is a router: it takes one hop off each packet first. Scapy has IP, GRE and the header of tunnelled data; minimal
encapsulation is written down here from RFC 2004.
"""

import json
import struct
import sys

from scapy.fields import BitField, ByteEnumField, ConditionalField, IPField, XShortField
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import GRE
from scapy.layers.mobileip import MobileIP, MobileIPTunnelData
from scapy.packet import Packet, Raw
from scapy.utils import checksum

IP_IN_IP, UDP_PROTOCOL, GRE_PROTOCOL, MINIMAL_PROTOCOL = 4, 17, 47, 55


class Minimal(Packet):
    """RFC 2004, section 3.1."""

    name = "minimal forwarding header"
    fields_desc = [
        ByteEnumField("protocol", 0, {6: "tcp", 17: "udp"}),
        BitField("source_present", 0, 1),
        BitField("reserved", 0, 7),
        XShortField("checksum", None),
        IPField("destination", "0.0.0.0"),
        ConditionalField(IPField("source", "0.0.0.0"), lambda header: header.source_present == 1),
    ]

    def post_build(self, header, payload):
        if self.checksum is None:
            header = header[:2] + struct.pack("!H", checksum(header)) + header[4:]
        return header + payload


def after(packet, hops):
    """Header and contents of a packet, so many hops on."""
    header = IP(packet)
    contents = packet[header.ihl * 4:header.len]
    header.remove_payload()
    header.ttl -= hops
    del header.chksum
    return header, contents


def tunnelled(request, header, contents):
    """The layers behind the outer header, the protocol of the first, and whether the outer header is the inner one."""
    whole = header / Raw(contents)
    if request["kind"] == "GRE":
        key = {} if request["key"] is None else {"key_present": 1, "key": int(request["key"], 16)}
        return GRE(proto=0x0800, **key) / whole, GRE_PROTOCOL, False
    fragment = header.frag != 0 or header.flags.MF
    if request["kind"] == "minimal" and not fragment and not header.options:
        known = header.src == request["source"]
        source = {} if known else {"source_present": 1, "source": header.src}
        minimal = Minimal(protocol=header.proto, destination=header.dst, **source)
        return minimal / Raw(contents), MINIMAL_PROTOCOL, True
    return whole, IP_IN_IP, False


def wrap(request, packet):
    header, contents = after(packet, 1)
    inside, protocol, same_header = tunnelled(request, header, contents)
    if request["ports"] is not None:
        source, destination = request["ports"]
        data = MobileIP(type=4) / MobileIPTunnelData(nexthdr=protocol, res=0)
        # RFC 3519 lets the checksum be zero.
        inside = UDP(sport=source, dport=destination, chksum=0) / data / Raw(bytes(inside))
        protocol = UDP_PROTOCOL
    if same_header:
        outer = header.copy()
        del outer.len
        del outer.chksum
        outer.src, outer.dst, outer.proto = request["source"], request["destination"], protocol
    else:
        flags = "DF" if header.flags.DF else 0
        outer = IP(src=request["source"], dst=request["destination"], proto=protocol, tos=header.tos, ttl=64, id=0,
                   flags=flags)
    return bytes(outer / inside)


def answer(request):
    packets = [bytes.fromhex(packet) for packet in request["packets"]]
    if request["op"] == "wrap":
        return [wrap(request, packet).hex() for packet in packets]
    hops = request["hops"]
    return [bytes(header / Raw(contents)).hex() for header, contents in (after(packet, hops) for packet in packets)]


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)

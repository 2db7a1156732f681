"""A second implementation of what mipd puts on the wire: Scapy, and Python's hmac and hashlib.

Reads one JSON object per line and answers each with one:

    {"op": "decode", "frame": HEX}                                    the layers, field by field
    {"op": "build", "message": {...}, "extensions": [...], ...}       a frame, signed here
    {"op": "authenticator", "algorithm": ..., "key": HEX, "protected": HEX}
    {"op": "verify", "message": HEX, "algorithm": ..., "key": HEX}    which authentication extensions hold
    {"op": "advertise", "routers": [...], "agent": {...}, ...}        an agent advertisement

Scapy has the registration messages and the header of tunnelled data (scapy.layers.mobileip). Extensions, revocation and
agent advertisements are written down here from the RFCs, as Scapy packets. Ends with status 77 if there is no Scapy.
"""

import hashlib
import hmac
import json
import logging
import struct
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
try:
    from scapy.fields import (
        BitField, ByteField, FieldListField, IntField, IPField, MACField, PacketListField, ShortField, SignedIntField,
        StrLenField, XStrLenField,
    )
    from scapy.layers.inet import ICMP, IP, UDP
    from scapy.layers.l2 import ARP, LLC, Dot3, Ether
    from scapy.layers.mobileip import MobileIP, MobileIPRRP, MobileIPRRQ, MobileIPTunnelData
    from scapy.packet import NoPayload, Packet, Padding, bind_layers
except ImportError as missing:
    print(f"no Scapy: {missing}", file=sys.stderr)
    sys.exit(77)


class Extension(Packet):
    """What follows an extension is the next one."""

    def extract_padding(self, rest):
        return b"", rest


class Sized:
    """Fills the length in when a packet is built."""

    def post_build(self, packet, payload):
        if self.length is None:
            if isinstance(self, LONG):
                packet = packet[:2] + struct.pack("!H", len(packet) - 4) + packet[4:]
            else:
                packet = packet[:1] + bytes([len(packet) - 2]) + packet[2:]
        return packet + payload


def sized(base, kind, head, *fields):
    return type(base, (Sized, Extension), {"name": base, "fields_desc": [ByteField("type", kind), *head, *fields]})


def simple(name, kind, *fields):
    return sized(name, kind, [ByteField("length", None)], *fields)


def long_form(name, kind, subtype, *fields):
    made = sized(name, kind, [ByteField("subtype", subtype), ShortField("length", None)], *fields)
    LONG_FORMS.append(made)
    return made


LONG_FORMS = []


def data(name, head=0):
    return XStrLenField(name, b"", length_from=lambda packet: packet.length - head)


Padding0 = type("Padding0", (Extension,), {"name": "Padding0", "fields_desc": [ByteField("type", 0)]})
MobileHome = simple("MobileHome", 32, IntField("spi", 256), data("authenticator", 4))
MobileForeign = simple("MobileForeign", 33, IntField("spi", 256), data("authenticator", 4))
ForeignHome = simple("ForeignHome", 34, IntField("spi", 256), data("authenticator", 4))
Generalized = long_form("Generalized", 36, 1, IntField("spi", 256), data("authenticator", 4))
CriticalVendor = long_form(
    "CriticalVendor", 38, 0, IntField("vendor", 0), ShortField("vendor_type", 0), data("value", 6)
)
UdpTunnelReply = simple(
    "UdpTunnelReply", 44, ByteField("subtype", 0), ByteField("code", 0), BitField("F", 0, 1), BitField("reserved", 0, 15),
    ShortField("keepalive", 0),
)
ForeignAgentError = simple("ForeignAgentError", 45, ByteField("subtype", 0), ByteField("status", 0))
ProxyMethod = long_form("ProxyMethod", 47, 1, ByteField("method", 1))
GreKey = long_form("GreKey", 48, 0, IntField("key", 0))
EncapsulatingDelivery = simple("EncapsulatingDelivery", 130)
Nai = simple("Nai", 131, StrLenField("nai", b"", length_from=lambda packet: packet.length))
Challenge = simple("Challenge", 132, data("challenge"))
NormalVendor = simple(
    "NormalVendor", 134, ShortField("reserved", 0), IntField("vendor", 0), ShortField("vendor_type", 0), data("value", 8)
)
RevocationSupport = simple(
    "RevocationSupport", 137, BitField("I", 0, 1), BitField("reserved", 0, 15), IntField("timestamp", 0)
)
DynamicHomeAgent = simple("DynamicHomeAgent", 139, ByteField("subtype", 1), IPField("address", "0.0.0.0"))
UdpTunnelRequest = simple(
    "UdpTunnelRequest", 144, ByteField("subtype", 0), ByteField("reserved1", 0), BitField("F", 0, 1), BitField("R", 0, 1),
    BitField("reserved2", 0, 6), ByteField("encapsulation", 0), ShortField("reserved3", 0),
)
ProxyDevice = simple("ProxyDevice", 147, ByteField("subtype", 2), ByteField("id_type", 1), MACField("mac", None))
ProxyTechnology = simple("ProxyTechnology", 147, ByteField("subtype", 4), ByteField("technology", 0))
Other = simple("Other", 255, data("data"))
LONG = tuple(LONG_FORMS)

# Extensions of the messages on UDP port 434, and those of advertisements.
CONTROL = {
    0: Padding0, 32: MobileHome, 33: MobileForeign, 34: ForeignHome, 36: Generalized, 38: CriticalVendor,
    44: UdpTunnelReply, 45: ForeignAgentError, 47: ProxyMethod, 48: GreKey, 130: EncapsulatingDelivery, 131: Nai,
    132: Challenge, 134: NormalVendor, 137: RevocationSupport, 139: DynamicHomeAgent, 144: UdpTunnelRequest,
}
AgentExtension = simple(
    "AgentExtension", 16, ShortField("sequence", 0), ShortField("lifetime", 0),
    *(BitField(letter, 0, 1) for letter in ("R", "B", "H", "F", "M", "G", "r", "T", "U", "X", "I")),
    BitField("reserved", 0, 5),
    FieldListField("care_of", [], IPField("", "0.0.0.0"), length_from=lambda packet: packet.length - 6),
)
DISCOVERY = {0: Padding0, 16: AgentExtension, 19: simple("PrefixLengths", 19, data("data")),
             24: simple("AgentChallenge", 24, data("data"))}
BY_NAME = {kind.__name__: kind for kind in [*CONTROL.values(), ProxyDevice, ProxyTechnology, Other]}


def next_extension(known):
    def choose(_packet, _list, _last, rest):
        if not rest:
            return None
        if known is CONTROL and rest[0] == 147:
            return {2: ProxyDevice, 4: ProxyTechnology}.get(rest[2], Other)
        return known.get(rest[0], Other)
    return choose


class Extensions(Packet):
    name = "extensions"
    fields_desc = [PacketListField("list", [], next_cls_cb=next_extension(CONTROL))]


class Revocation(Packet):
    """RFC 3543, section 3.3."""

    name = "revocation"
    fields_desc = [
        ByteField("reserved", 0), BitField("A", 0, 1), BitField("I", 0, 1), BitField("reserved2", 0, 14),
        IPField("homeaddr", "0.0.0.0"), IPField("hda", "0.0.0.0"), IPField("fda", "0.0.0.0"), IntField("id", 0),
    ]


class RevocationAck(Packet):
    """RFC 3543, section 3.4."""

    name = "revocation acknowledgement"
    fields_desc = [
        ByteField("reserved", 0), BitField("I", 0, 1), BitField("reserved2", 0, 15), IPField("homeaddr", "0.0.0.0"),
        IntField("id", 0),
    ]


bind_layers(MobileIP, Revocation, type=7)
bind_layers(MobileIP, RevocationAck, type=15)
for message in (MobileIPRRQ, MobileIPRRP, Revocation, RevocationAck):
    bind_layers(message, Extensions)
MESSAGES = {1: MobileIPRRQ, 3: MobileIPRRP, 4: MobileIPTunnelData, 7: Revocation, 15: RevocationAck}


class Router(Packet):
    name = "router"
    fields_desc = [IPField("address", "0.0.0.0"), SignedIntField("preference", 0)]

    def extract_padding(self, rest):
        return b"", rest


class Advertisement(Packet):
    """RFC 1256, from the fifth byte of the ICMP message on: Scapy has the first four."""

    name = "advertisement"
    fields_desc = [
        ByteField("count", 0), ByteField("entry_size", 2), ShortField("lifetime", 1800),
        PacketListField("routers", [], Router, count_from=lambda packet: packet.count),
        PacketListField("extensions", [], next_cls_cb=next_extension(DISCOVERY)),
    ]


def plain(packet):
    """The fields of one layer, without packets inside it."""
    fields = {}
    for field in packet.fields_desc:
        value = packet.getfieldval(field.name)
        if isinstance(value, Packet) or (isinstance(value, list) and any(isinstance(each, Packet) for each in value)):
            continue
        if isinstance(value, bytes):
            value = value.decode("ascii") if field.name == "nai" else value.hex()
        fields[field.name] = value if isinstance(value, (int, str, list)) or value is None else str(value)
    return fields


def checksums_hold(frame):
    """Whether Scapy would have computed the same checksums and lengths."""
    again = frame.copy()
    for layer in (IP, UDP, ICMP):
        if layer in again:
            again[layer].chksum = None
            if layer is not ICMP:
                again[layer].len = None
    return bytes(again) == bytes(frame)


def decode(request):
    raw = bytes.fromhex(request["frame"])
    frame = Dot3(raw) if struct.unpack("!H", raw[12:14])[0] < 0x600 else Ether(raw)
    answer = {"eth": plain(frame)}
    for layer, name in ((IP, "ip"), (UDP, "udp"), (ICMP, "icmp"), (ARP, "arp"), (LLC, "llc")):
        if layer in frame:
            answer[name] = plain(frame[layer])
    if IP in frame:
        answer["checksums"] = checksums_hold(frame)
    if MobileIP in frame:
        message = frame[MobileIP]
        answer["message"] = {**plain(message), **plain(message.payload)}
        answer["raw"] = bytes(message).hex()
        inner = message.payload.payload
        if isinstance(inner, IP):
            answer["inner"] = plain(inner)
        elif not isinstance(message.payload, MobileIPTunnelData):
            listed = inner.list if isinstance(inner, Extensions) else []
            answer["extensions"] = [plain(extension) for extension in listed]
            assert isinstance(inner, (Extensions, NoPayload, Padding)), f"undecoded: {inner!r}"
    if ICMP in frame and frame[ICMP].type == 9:
        advertisement = Advertisement(bytes(frame[ICMP])[4:])
        answer["advertisement"] = plain(advertisement)
        answer["routers"] = [plain(router) for router in advertisement.routers]
        answer["extensions"] = [plain(extension) for extension in advertisement.extensions]
    return answer


def authenticator(algorithm, key, protected):
    """RFC 5944, section 3.5.1; RFC 2002, section 3.5.1. What is protected ends with the SPI."""
    if algorithm == "md5-prefix-suffix":
        return hashlib.md5(key + protected + key).digest()
    if algorithm == "md5-prefix-suffix-without-spi":
        return hashlib.md5(key + protected[:-4] + key).digest()
    return hmac.new(key, protected, {"hmac-md5": "md5", "hmac-sha1": "sha1", "hmac-sha256": "sha256"}[algorithm]).digest()


LENGTHS = {"hmac-sha1": 20, "hmac-sha256": 32}


def signature(message, kind, spi, algorithm, key):
    """A whole authentication extension."""
    length = 4 + LENGTHS.get(algorithm, 16)
    head = bytes([kind, length]) if kind != 36 else struct.pack("!BBH", 36, 1, length)
    head += struct.pack("!I", spi)
    return head + authenticator(algorithm, key, message + head)


def build(request):
    """The message with its extensions in the order given; one with "sign" is an authentication extension."""
    fields = dict(request["message"])
    kind = fields.pop("type")
    message = bytes(MobileIP(type=kind) / MESSAGES[kind](**fields))
    for extension in request.get("extensions", []):
        extension = dict(extension)
        if "sign" in extension:
            key = bytes.fromhex(extension["key"])
            message += signature(message, extension["sign"], extension["spi"], extension["algorithm"], key)
        else:
            name = extension.pop("extension")
            values = {field: bytes.fromhex(value[4:]) if str(value).startswith("hex:") else value
                      for field, value in extension.items()}
            message += bytes(BY_NAME[name](**values))
    ends = Ether(**request["eth"]) / IP(**request["ip"]) / UDP(**request["udp"])
    return {"frame": bytes(ends / message).hex(), "message": message.hex()}


def digest(request):
    key, protected = bytes.fromhex(request["key"]), bytes.fromhex(request["protected"])
    return {"authenticator": authenticator(request["algorithm"], key, protected).hex()}


def verify(request):
    """Whether each authentication extension of a message holds, by type."""
    raw, key = bytes.fromhex(request["message"]), bytes.fromhex(request["key"])
    extensions = MobileIP(raw).payload.payload
    extensions = extensions.list if isinstance(extensions, Extensions) else []
    at = len(raw) - sum(len(bytes(extension)) for extension in extensions)
    holds = {}
    for extension in extensions:
        at += len(bytes(extension))
        if hasattr(extension, "authenticator"):
            found = extension.authenticator
            holds[extension.type] = found == authenticator(request["algorithm"], key, raw[:at - len(found)])
    return {"holds": holds}


def advertise(request):
    """The ICMP message of a foreign agent's advertisement."""
    agent = bytes(AgentExtension(**request["agent"]))
    routers = [Router(address=address) for address in request["routers"]]
    body = bytes(Advertisement(count=len(routers), lifetime=request["lifetime"], routers=routers)) + agent
    message = ICMP(type=9, code=0, unused=struct.unpack("!I", body[:4])[0]) / body[4:]
    return {"icmp": bytes(message).hex()}


OPERATIONS = {"decode": decode, "build": build, "authenticator": digest, "verify": verify, "advertise": advertise}

if __name__ == "__main__":
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(OPERATIONS[request["op"]](request)), flush=True)

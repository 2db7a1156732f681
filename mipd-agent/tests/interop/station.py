"""Scapy on a wire of the lab: a standard mobile node, and a home agent of its own.

Reads one JSON object per line and answers each with one. What it sends and reads is peer.py's.
"""

import json
import socket
import sys
import time

from peer import Advertisement, build, decode, plain, verify

from scapy.config import conf
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.mobileip import MobileIP
from scapy.sendrecv import send

PATIENCE = 10
# Seconds from 1900 to 1970.
NTP = 2_208_988_800


def identification():
    now = time.time()
    return (int(now) + NTP) << 32 | int(now % 1 * 2**32)


class Wire:
    """Whole frames, past the box's own stack. Opened before anything is sent, so that no answer is missed."""

    def __init__(self, interface):
        self.socket = conf.L2socket(iface=interface)

    def send(self, frame):
        self.socket.send(frame)

    def receive(self, wanted):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.socket.select([self.socket], 0.1):
                frame = self.socket.recv()
                if frame is not None and wanted(frame):
                    return frame
        return None


WIRE = None


def wire(request):
    global WIRE
    if WIRE is None:
        WIRE = Wire(request["interface"])
    return WIRE


def solicit(request):
    """Asks for agents, by RFC 1256; what the first one advertises."""
    lan = wire(request)
    group = {"src": request["mac"], "dst": "01:00:5e:00:00:02"}
    lan.send(Ether(**group) / IP(src=request["home"], dst="224.0.0.2", ttl=1) / ICMP(type=10))
    heard = lan.receive(lambda frame: ICMP in frame and frame[ICMP].type == 9)
    if heard is None:
        return {"heard": None}
    advertisement = Advertisement(bytes(heard[ICMP])[4:])
    extensions = [plain(extension) for extension in advertisement.extensions]
    return {"heard": decode({"frame": bytes(heard).hex()}), "mac": heard.src, "source": heard[IP].src,
            "extensions": extensions}


def register(request):
    """Sends a request through the foreign agent as RFC 5944, section 3.6.1 has it; the reply."""
    lan = wire(request)
    built = build({
        "eth": {"src": request["mac"], "dst": request["agent_mac"]},
        "ip": {"src": request["home"], "dst": request["agent"], "ttl": 255},
        "udp": {"sport": 4343, "dport": 434},
        "message": {"type": 1, "flags": request["flags"], "lifetime": request["lifetime"], "homeaddr": request["home"],
                    "haaddr": request["home_agent"], "coaddr": request["care_of"], "id": identification()},
        "extensions": [{"sign": 32, "spi": request["spi"], "algorithm": "hmac-md5", "key": request["key"]}],
    })
    lan.send(Ether(bytes.fromhex(built["frame"])))
    ours = request["mac"].lower()
    reply = lan.receive(lambda frame: UDP in frame and frame[UDP].dport == 4343 and frame.dst == ours)
    if reply is None:
        return {"reply": None}
    found = decode({"frame": bytes(reply).hex()})
    held = verify({"message": found["raw"], "algorithm": "hmac-md5", "key": request["key"]})
    return {"reply": found, "holds": held["holds"]}


def answer_echo(request):
    """Waits for an echo request to the home address and answers it, through the foreign agent as default router."""
    lan = wire(request)
    echo = lan.receive(lambda frame: ICMP in frame and frame[ICMP].type == 8 and frame[IP].dst == request["home"])
    if echo is None:
        return {"echo": None}
    back = Ether(src=request["mac"], dst=echo.src) / IP(src=request["home"], dst=echo[IP].src)
    lan.send(back / ICMP(type=0, id=echo[ICMP].id, seq=echo[ICMP].seq) / echo[ICMP].payload)
    return {"echo": decode({"frame": bytes(echo).hex()})}


HOME_AGENT = None


def listen(_request):
    """Becomes a home agent."""
    global HOME_AGENT
    HOME_AGENT = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    HOME_AGENT.settimeout(PATIENCE)
    HOME_AGENT.bind(("0.0.0.0", 434))
    return {"listens": True}


def grant(request):
    """Waits for a request, checks the node's signature and grants it."""
    try:
        message, sender = HOME_AGENT.recvfrom(2048)
    except socket.timeout:
        return {"request": None}
    asked = MobileIP(message).payload
    held = verify({"message": message.hex(), "algorithm": "hmac-md5", "key": request["key"]})
    built = build({
        "eth": {}, "ip": {"src": "0.0.0.0", "dst": sender[0]}, "udp": {"sport": 434, "dport": sender[1]},
        "message": {"type": 3, "code": 0, "lifetime": min(asked.lifetime, 300), "homeaddr": asked.homeaddr,
                    "haaddr": asked.haaddr, "id": asked.id},
        "extensions": [{"sign": 32, "spi": request["spi"], "algorithm": "hmac-md5", "key": request["key"]}],
    })
    HOME_AGENT.sendto(bytes.fromhex(built["message"]), sender)
    return {"request": plain(asked), "from": sender[0], "holds": held["holds"]}


def tunnel_echo(request):
    """Tunnels an echo request to a visitor, IP in IP (RFC 2003)."""
    inner = IP(src=request["home_agent"], dst=request["home"], ttl=63) / ICMP(id=7, seq=1) / b"scapy"
    send(IP(src=request["home_agent"], dst=request["care_of"], ttl=64, proto=4) / inner, verbose=False)
    return {"sent": True}


OPERATIONS = {"solicit": solicit, "register": register, "answer_echo": answer_echo, "listen": listen, "grant": grant,
              "tunnel_echo": tunnel_echo}

if __name__ == "__main__":
    for line in sys.stdin:
        question = json.loads(line)
        print(json.dumps(OPERATIONS[question["op"]](question)), flush=True)

//! Independent implementations agree with ours: Wireshark's dissectors, and Scapy with Python's `hmac` and `hashlib`.
//!
//! `cases` lists every message that we emit, with what each of the two must read from it; `tshark` and `scapy` ask them.
//! `scapy` also has messages built there and given to our codec and our agents.

mod cases;
mod scapy;
mod tshark;

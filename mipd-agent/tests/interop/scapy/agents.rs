//! A registration whose every message Scapy builds or reads: our agents take and give what a stranger understands.

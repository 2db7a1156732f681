//! The data path from one end of a tunnel to the other, with every encapsulation, on tables that the tests fill: against
//! tunnel packets that Scapy builds, and with buffers of many segments.

mod reference;
mod segments;

//! The kernel programs, packet by packet: input, tables, expected verdict, expected output, expected counter. Router
//! tables run at both hooks. Needs root (`BPF_PROG_TEST_RUN`); says so and passes without.

mod away_clients;
mod budgets;
mod case;
mod coverage;
mod decapsulation;
mod delivery;
mod encapsulation;
mod gre;
mod home_arp;
mod icmp_filter;
mod isolation;
mod minimal;
mod radio;
mod random;
mod reverse_tunnel;
mod rig;
mod routing;
mod segments;
mod table;
mod tunnel_devices;
mod udp_tunnels;
mod uplink;
mod visitors;
mod without_btf;
mod world;

//! The kernel programs, packet by packet: input, tables, expected verdict, expected output, expected counter. Router
//! tables run at both hooks. Needs root (`BPF_PROG_TEST_RUN`); says so and passes without.

mod away_clients;
mod home_arp;
mod icmp_filter;
mod isolation;
mod radio;
mod reverse_tunnel;
mod routing;
mod table;
mod uplink;
mod visitors;
mod world;

use mipd_lab::packets::{bench, object};

#[test]
fn all_programs_pass_the_verifier() {
    if !bench::privileged() {
        return;
    }
    let object = object::load(&[]).unwrap();
    let mut costs: Vec<_> =
        object.programs().map(|(name, program)| (name.to_owned(), program.info().unwrap())).collect();
    costs.sort_by(|left, right| left.0.cmp(&right.0));
    println!("{:<18} {:>12} {:>12} {:>10}", "program", "instructions", "verified", "jitted");
    for (name, info) in costs {
        let instructions = info.size_translated().unwrap_or(0) / 8;
        let verified = info.verified_instruction_count().unwrap_or(0);
        println!("{name:<18} {instructions:>12} {verified:>12} {:>10}", info.size_jitted());
        // Kernels take a million; but a program should still fit into a processor's caches.
        assert!(instructions > 0 && instructions < 8192, "{name} has {instructions} instructions");
    }
}

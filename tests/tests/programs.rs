//! The kernel programs, packet by packet. Needs root (`BPF_PROG_TEST_RUN`); says so and passes without.

use mipd_lab::packets::object;

#[test]
fn all_programs_pass_the_verifier() {
    let object = object::load().unwrap();
    for (name, program) in object.programs() {
        let info = program.info().unwrap();
        println!("{name}: {:?} translated bytes, {} jitted, {:?} verified", info.size_translated(), info.size_jitted(), info.verified_instruction_count());
    }
}

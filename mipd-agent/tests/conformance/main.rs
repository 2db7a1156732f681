//! The recorded conformance cases: what a role is told, and what it must do (see README.md beside this file), and the
//! check that `docs/conformance.md` names tests that exist.

mod case;
mod describe;
mod extensions;
mod messages;
mod roles;
mod run;
mod scene;
mod table;

use roles::{discovery::Discovery, foreign_agent::Foreign, home_agent::Home, proxy::AccessPoint};

#[test]
fn the_home_agent_does_what_its_cases_say() {
    run::all_cases::<Home>("home-agent");
}

#[test]
fn the_foreign_agent_does_what_its_cases_say() {
    run::all_cases::<Foreign>("foreign-agent");
}

#[test]
fn the_proxy_does_what_its_cases_say() {
    run::all_cases::<AccessPoint>("proxy");
}

#[test]
fn discovery_does_what_its_cases_say() {
    run::all_cases::<Discovery>("discovery");
}

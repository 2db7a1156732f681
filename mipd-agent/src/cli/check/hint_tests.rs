//! What a file alone gives reason to doubt, and what not.

use std::path::Path;

use super::{explain::explain, finding::Finding, hints::hints};
use crate::config::Config;

const KEY: &str = "key = \"000102030405060708090a0b0c0d0e0f\"";
const CLIENTS: &str = "[[security-association]]\nclients = \"10.1.0.0/24\"\nspi = 256\n";
const HOME_AGENT: &str = "[home-agent]\naddress = \"10.1.0.1\"\n";
const HOME_SUBNETS: &str = "subnets = [{ prefix = \"10.1.0.0/24\", interface = \"lan0\" }]\n";
const FOREIGN_AGENT: &str = "[foreign-agent]\ninterfaces = [\"lan0\"]\ncare-of-address = \"10.2.0.1\"\n";
const ACCESS_POINT: &str = "[access-point]\nuplink = \"eth0\"\nbridge = \"br-lan\"\nradios = [{ interface = \"wlan0\" }]\n\
                            subnet-map = [{ home-agent = \"10.1.0.1\", mask = \"255.255.255.0\" }]\n";

fn parsed(text: &str) -> Config {
    Config::parse(text, Path::new("mipd.toml"), 0o600).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A home agent with keys of its clients, and what else its section holds.
fn home_agent(more: &str) -> String {
    format!("{CLIENTS}{KEY}\n{HOME_AGENT}{more}\n{HOME_SUBNETS}")
}

fn access_point(more: &str) -> String {
    format!("{CLIENTS}{KEY}\n{more}\n{ACCESS_POINT}")
}

fn peer(kind: &str, more: &str) -> String {
    format!("[[peer-association]]\npeer = \"10.9.0.1\"\nkind = \"{kind}\"\nspi = 300\n{KEY}\n{more}\n")
}

#[track_caller]
fn assert_hints(text: &str, expected: &[&str]) {
    let found: Vec<String> = hints(&parsed(text)).iter().map(Finding::to_string).collect();
    assert_eq!(found, expected, "{text}");
}

#[track_caller]
fn assert_explains(text: &str, line: &str) {
    let explanation = explain(&parsed(text));
    assert!(explanation.lines().any(|explained| explained.trim() == line), "{line}\n{explanation}");
}

#[test]
fn ordinary_files_give_no_reason_to_doubt() {
    for text in [home_agent(""), FOREIGN_AGENT.to_owned(), access_point("")] {
        assert_hints(&text, &[]);
    }
}

#[test]
fn challenges_need_somebody_who_checks_the_answer() {
    let challenging = format!("{FOREIGN_AGENT}challenge = true\n");
    assert_hints(
        &challenging,
        &["warning: challenge = true without a [[peer-association]] of kind mobile-foreign: only clients with MN-AAA \
           authentication get in, and only their home agents check it (mipd's do); add one for the others"],
    );
    let shared = peer("mobile-foreign", "") + &challenging;
    assert_hints(&shared, &[]);
    assert_explains(&shared, "registers only clients that answer its challenges");
    assert_hints(
        &format!("{shared}[advertisement]\nonly-when-solicited = true\n"),
        &[
            "warning: challenge = true with only-when-solicited = true: challenges are renewed by advertisements that nobody \
           asked for, so clients that return are denied once; set one of them to false",
        ],
    );
}

#[test]
fn proxies_are_let_in_only_with_a_key_that_they_share() {
    let open = home_agent("allowed-proxies = [\"10.9.0.0/24\"]");
    assert_hints(
        &open,
        &[
            "warning: allowed-proxies lets nobody in: add a [[peer-association]] of kind foreign-home for the proxies to sign \
           with",
        ],
    );
    assert_hints(&(peer("foreign-home", "") + &open), &[]);
}

#[test]
fn a_name_without_a_key_does_not_help_a_client() {
    let identity = "identities = [{ nai = \"a@b\", home-address = \"10.1.0.9\" }]";
    assert_hints(&home_agent(identity), &[]);
    assert_hints(
        &home_agent(identity).replace("10.1.0.0/24\"\nspi", "10.1.0.8\"\nspi"),
        &["warning: a@b in identities cannot register: add a [[security-association]] for its home address 10.1.0.9"],
    );
}

#[test]
fn simultaneous_bindings_are_not_for_our_own_access_points() {
    let text = home_agent("simultaneous-bindings = 3");
    assert_hints(
        &text,
        &["note:    simultaneous-bindings is for mobile nodes that set the S bit: access points of mipd never do"],
    );
    assert_explains(
        &text,
        "keeps up to 3 care-of addresses of a client that asks for it, each with a copy of every packet",
    );
}

#[test]
fn broadcasts_need_a_link_to_be_heard_on() {
    let text = home_agent("broadcast = true");
    assert_hints(&text, &[]);
    assert_explains(&text, "sends broadcasts of the home network after clients that ask for them");
    assert_hints(
        &text.replace("interface = \"lan0\"", "interface = \"lan0\", routes = \"subnet\""),
        &[
            "warning: broadcast = true does nothing for home subnet 10.1.0.0/24: with routes = \"subnet\" it has no link to \
           hear any on",
        ],
    );
    assert_explains(
        &format!("{}broadcast = true\n", access_point("")),
        "asks for the broadcasts of the clients' home networks",
    );
}

#[test]
fn every_subnet_of_the_map_needs_a_key() {
    assert_hints(
        &access_point("")
            .replace("subnet-map = [", "subnet-map = [{ home-agent = \"10.2.0.1\", mask = \"255.255.255.0\" }, "),
        &[
            "warning: no [[security-association]] is for clients of 10.2.0.0/24: they are not registered, nor deregistered when \
           they come home",
        ],
    );
}

#[test]
fn advertisements_that_contradict_themselves_are_found() {
    assert_hints(
        &home_agent("").replace("[home-agent]", "[advertisement]\nregistration-required = true\n[home-agent]"),
        &["warning: registration-required does nothing: it is for boxes with a [foreign-agent]"],
    );
    let common = format!("{FOREIGN_AGENT}[advertisement]\nroutes-common-traffic = true\nlimited-broadcast = true\n");
    assert_hints(&common, &[]);
    assert_explains(&common, "advertises itself at least every 3s, to 255.255.255.255, as a router for everybody");
    assert_hints(
        &format!("{common}preference = -2147483648\n"),
        &[
            "warning: routes-common-traffic = true with preference = -2147483648: no host takes this box for its router; raise \
           preference",
        ],
    );
}

#[test]
fn keys_that_no_role_uses_and_keys_that_anything_opens_are_found() {
    assert_hints(
        &format!("{CLIENTS}{KEY}\n{FOREIGN_AGENT}"),
        &["warning: a foreign agent needs no keys of clients: remove the [[security-association]] of line 2"],
    );
    assert_hints(
        &(peer("mobile-foreign", "") + &home_agent("")),
        &["warning: a home agent does not use the mobile-foreign association of line 2: remove it"],
    );
    assert_hints(
        &(peer("foreign-home", "sign-deregistrations = true") + &home_agent("")),
        &[
            "warning: sign-deregistrations in the section of line 2 does nothing: only a foreign agent heeds it, of kind \
           foreign-home",
        ],
    );
    assert_hints(
        &(peer("foreign-home", "accept-any-algorithm = true") + FOREIGN_AGENT),
        &[
            "warning: the section of line 2 accepts every algorithm, the weakest included: set accept-any-algorithm to false as \
           soon as the peers are changed over",
        ],
    );
}

#[test]
fn revocation_is_said_to_be_in_force_only_where_it_is() {
    let shared = peer("foreign-home", "");
    let agents = home_agent("") + FOREIGN_AGENT;
    for line in [
        "revokes nothing: that takes a [[peer-association]] of kind foreign-home",
        "has nothing revoked: that takes a [[peer-association]] of kind foreign-home",
    ] {
        assert_explains(&agents, line);
    }
    for line in [
        "tells foreign agents that share a key when a client has left them; they may end bindings",
        "lets home agents that share a key revoke registrations, and tells them which ones it ends",
    ] {
        assert_explains(&(shared.clone() + &agents), line);
    }
    let off = home_agent("revocation = false") + FOREIGN_AGENT + "revocation = false\n";
    for line in [
        "does not offer revocation: a client's old foreign agent keeps it until its lifetime ends",
        "lets nobody revoke registrations",
    ] {
        assert_explains(&(shared.clone() + &off), line);
    }
}

#[test]
fn what_is_out_of_the_ordinary_about_keys_is_explained() {
    let nonces = access_point("").replace("spi = 256", "spi = 256\nreplay = \"nonces\"\nnai = \"{mac}@campus\"");
    assert_explains(&nonces, "10.1.0.0/24: replays are told by nonces, not by timestamps");
    assert_explains(&nonces, "10.1.0.0/24: requests name them {mac}@campus");
    let peers = peer("foreign-home", "accept-any-algorithm = true\nsign-deregistrations = true") + FOREIGN_AGENT;
    assert_explains(&peers, "foreign-home 10.9.0.1: any other algorithm is accepted, too");
    assert_explains(&peers, "foreign-home 10.9.0.1: deregistrations are signed, too");
}

#[test]
fn subnets_whose_bindings_are_hashed_are_named() {
    let large =
        home_agent("maximum-slots = 300").replace(" }]", " }, { prefix = \"10.64.0.0/16\", interface = \"lan1\" }]");
    assert_explains(&large, "home subnet 10.1.0.0/24 on lan0, one route for each away client");
    assert_explains(
        &large,
        "home subnet 10.64.0.0/16 on lan1, one route for the whole subnet, or for each away client if it has a link, \
         bindings in a hash map (more addresses than maximum-slots)",
    );
}

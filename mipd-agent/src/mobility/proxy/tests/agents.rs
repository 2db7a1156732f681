//! Several foreign agents, busy ones, and those that send a client away.

use super::*;

pub(super) fn second_agent() -> ForeignAgentInfo {
    let address = Ipv4Addr::new(10, 2, 0, 2);
    ForeignAgentInfo {
        address,
        mac: MacAddress([2, 0, 0, 0, 0, 0xfb]),
        care_of_addresses: vec![CareOfAddress(address)],
        ..foreign_agent()
    }
}

fn busy(agent: ForeignAgentInfo) -> ForeignAgentInfo {
    ForeignAgentInfo { flags: AgentFlags { busy: true, ..agent.flags }, ..agent }
}

fn dismiss(scene: &mut Scene, busy: bool) {
    scene.event(Event::Dismissed { address: HOME, agent: LOCAL_AGENT.0, busy });
}

/// Where the last request went.
fn asked(scene: &mut Scene) -> Ipv4Addr {
    transmits(&scene.take()).last().expect("no request was sent").destination
}

#[test]
fn a_busy_agent_gets_no_new_clients_but_renews_those_it_has() {
    let mut scene = Scene::registered();
    scene.agent([busy(foreign_agent())]);
    scene.advance(milliseconds(1));
    assert_eq!(scene.requests.len(), 1, "that it is busy concerns newcomers");
    scene.talk(seconds(540));
    assert_eq!(scene.requests.len(), 2);
    scene.accept();
    assert_eq!(scene.state(), "registered");

    let mut scene = Scene::new();
    scene.agent([busy(foreign_agent())]);
    scene.visit();
    assert_eq!((scene.state(), scene.requests.len()), ("awaiting_agent", 0));
    scene.agent([busy(foreign_agent()), second_agent()]);
    assert_eq!(asked(&mut scene), second_agent().address);
}

#[test]
fn an_agent_without_resources_sends_the_client_to_the_next_one_at_once() {
    for code in [66, 78, 80, 88].map(ReplyCode) {
        let mut scene = Scene::new();
        scene.agent([foreign_agent(), second_agent()]);
        scene.visit();
        scene.deny(code);
        assert_eq!(scene.sent_at(), [0, 0], "{code}");
        assert_eq!(asked(&mut scene), second_agent().address);
        scene.deny(code);
        assert_eq!(scene.requests.len(), 2, "{code}: all refused, so there is a wait");
        scene.talk(seconds(3));
        assert_eq!(scene.requests.len(), 3);
    }
}

#[test]
fn a_home_agent_without_resources_has_none_through_another_foreign_agent_either() {
    let mut scene = Scene::new();
    scene.agent([foreign_agent(), second_agent()]);
    scene.visit();
    scene.deny(ReplyCode::HA_RESOURCES);
    assert_eq!(scene.requests.len(), 1);
}

#[test]
fn another_agent_alone_is_no_reason_to_register_again() {
    let mut scene = Scene::registered();
    scene.agent([second_agent(), foreign_agent()]);
    scene.advance(milliseconds(100));
    assert_eq!(scene.requests.len(), 1);
    scene.talk(seconds(540));
    assert_eq!(asked(&mut scene), LOCAL_AGENT.0, "the renewal goes where the registration is");
}

#[test]
fn only_the_clients_of_a_restarted_agent_register_again() {
    let mut scene = Scene::registered();
    scene.agent([foreign_agent(), second_agent()]);
    scene.agent([foreign_agent(), ForeignAgentInfo { reboots: 1, ..second_agent() }]);
    scene.advance(milliseconds(100));
    assert_eq!(scene.requests.len(), 1);
    scene.agent([ForeignAgentInfo { reboots: 1, ..foreign_agent() }, second_agent()]);
    scene.advance(milliseconds(100));
    assert_eq!(scene.requests.len(), 2);
    assert_eq!(scene.counters().agent_reboots, 3);
}

#[test]
fn an_agent_that_was_lost_for_a_while_may_have_forgotten_its_clients() {
    let mut scene = Scene::registered();
    scene.agent(None);
    scene.talk(seconds(20));
    assert_eq!(scene.requests.len(), 1);
    scene.agent(Some(foreign_agent()));
    scene.advance(milliseconds(1));
    assert_eq!(scene.requests.len(), 2);
}

#[test]
fn a_lost_agent_is_replaced_by_another_at_once() {
    let mut scene = Scene::registered();
    scene.agent([foreign_agent(), second_agent()]);
    scene.agent([second_agent()]);
    scene.advance(milliseconds(1));
    assert_eq!(asked(&mut scene), second_agent().address);
}

#[test]
fn a_client_that_is_told_that_its_registration_is_gone_registers_again() {
    let mut scene = Scene::registered();
    scene.talk(seconds(10));
    dismiss(&mut scene, false);
    scene.advance(milliseconds(1));
    assert_eq!(asked(&mut scene), LOCAL_AGENT.0);
    assert_eq!(scene.counters().dismissals, 1);
    assert_eq!(scene.state(), "renewing", "anybody can say so: the registration in force stays");
}

#[test]
fn a_client_that_is_sent_elsewhere_goes_there_if_there_is_another_agent() {
    for (agents, wanted) in
        [(vec![foreign_agent(), second_agent()], second_agent().address), (vec![foreign_agent()], LOCAL_AGENT.0)]
    {
        let mut scene = Scene::registered();
        scene.agent(agents);
        scene.talk(seconds(10));
        dismiss(&mut scene, true);
        scene.advance(milliseconds(1));
        assert_eq!(asked(&mut scene), wanted);
    }
}

#[test]
fn forged_notices_cause_at_most_one_registration_in_five_seconds() {
    let mut scene = Scene::registered();
    for _ in 0..200 {
        dismiss(&mut scene, true);
        scene.talk(milliseconds(100));
        if scene.state() == "renewing" {
            scene.accept();
        }
    }
    assert!(scene.requests.len() <= 5, "{:?}", scene.sent_at());
    assert_eq!(scene.state(), "registered");
}

#[test]
fn a_notice_of_another_agent_or_about_another_client_means_nothing() {
    let mut scene = Scene::registered();
    scene.talk(seconds(10));
    scene.event(Event::Dismissed { address: HOME, agent: second_agent().address, busy: false });
    scene.event(Event::Dismissed { address: LOCAL, agent: LOCAL_AGENT.0, busy: false });
    scene.advance(seconds(1));
    assert_eq!(scene.requests.len(), 1);
    assert_eq!(scene.counters().dismissals, 0);
}

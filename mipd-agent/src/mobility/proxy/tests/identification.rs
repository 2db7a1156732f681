//! Identifications across access points whose clocks differ, and nonces.

use proptest::prelude::*;

use super::*;
use crate::mobility::security::{ReplayProtection, ReplayWindow};

/// A home agent, as far as Identifications go.
struct ModelHomeAgent {
    /// Whether it answers 133 with a time later than what it accepted last, as ours does, or just with its own seconds.
    knows_better: bool,
    last: Option<Identification>,
}

impl ModelHomeAgent {
    fn answer(&mut self, clock: Identification, request: &RegistrationRequest) -> RegistrationReply {
        let asked = request.identification;
        let is_fresh = ReplayWindow::default().check(clock, asked, self.last).is_ok();
        let last = self.last.filter(|_| self.knows_better);
        let (code, identification) = if is_fresh {
            self.last = Some(asked);
            (ReplyCode::ACCEPTED, asked)
        } else {
            (ReplyCode::HA_IDENTIFICATION, ReplayWindow::resynchronisation(clock, asked, last))
        };
        let RegistrationRequest { lifetime, home_address, home_agent, .. } = *request;
        RegistrationReply { code, lifetime, home_address, home_agent, identification }
    }
}

/// Access points with clocks of their own, and one client that goes from one to the other.
struct Campus {
    access_points: Vec<Scene>,
    /// How far each clock is ahead of the home agent's, milliseconds.
    skews: Vec<i64>,
    home_agent: ModelHomeAgent,
}

fn units(milliseconds: i64) -> i64 {
    (milliseconds << 32) / 1000
}

impl Campus {
    fn new(knows_better: bool, skews: &[i64]) -> Self {
        let access_points = skews.iter().map(|skew| {
            let mut scene = Scene::new();
            scene.now.wall = Identification(scene.now.wall.0.wrapping_add_signed(units(*skew)));
            scene
        });
        let access_points = access_points.collect();
        Self { access_points, skews: skews.to_vec(), home_agent: ModelHomeAgent { knows_better, last: None } }
    }

    fn advance(&mut self, duration: Duration) {
        for scene in &mut self.access_points {
            scene.advance(duration);
        }
    }

    /// Goes to an access point and returns how many requests it took.
    fn visit(&mut self, at: usize, round_trip: Duration) -> usize {
        for scene in &mut self.access_points {
            scene.event(Event::Moved { mac: CLIENT });
        }
        let mut answered = self.access_points[at].requests.len();
        let before = answered;
        self.access_points[at].visit();
        for _ in 0..1000 {
            let scene = &mut self.access_points[at];
            if scene.state() == "registered" {
                return answered - before;
            }
            if scene.requests.len() == answered {
                self.advance(milliseconds(10));
                continue;
            }
            answered += 1;
            let clock = Identification(scene.now.wall.0.wrapping_add_signed(-units(self.skews[at])));
            let reply = self.home_agent.answer(clock, &scene.last_request());
            self.advance(round_trip);
            self.access_points[at].deliver(&signed(&reply));
        }
        panic!("never registered");
    }
}

/// Two clocks that differ by at most 5 s, each of them within 5 s of the home agent's; where the client goes, how long it
/// stays there, and the fraction of a second at which it all begins.
fn walks(longest_skew: i64) -> impl Strategy<Value = ([i64; 2], Vec<(usize, u64)>, u64, u64)> {
    let skews = (-longest_skew..=longest_skew, -5000i64..=5000)
        .prop_map(move |(first, distance)| [first, (first + distance).clamp(-longest_skew, longest_skew)]);
    let steps = prop::collection::vec((0usize..2, 1000u64..20_000), 2..12);
    (skews, steps, 0u64..1000, 0u64..200)
}

proptest! {
    #[test]
    fn with_our_home_agent_a_roam_costs_at_most_one_extra_round_trip(
        (skews, steps, start, round_trip) in walks(5000),
    ) {
        let mut campus = Campus::new(true, &skews);
        campus.advance(milliseconds(start));
        for (at, stay) in steps {
            let took = campus.visit(at, milliseconds(round_trip));
            prop_assert!(took <= 2, "{took} requests at access point {at}");
            campus.advance(milliseconds(stay));
        }
    }

    #[test]
    fn with_a_home_agent_that_answers_its_own_time_a_roam_costs_at_most_two(
        (skews, steps, start, round_trip) in walks(5000),
    ) {
        let mut campus = Campus::new(false, &skews);
        campus.advance(milliseconds(start));
        for (at, stay) in steps {
            let took = campus.visit(at, milliseconds(round_trip));
            prop_assert!(took <= 3, "{took} requests at access point {at}");
            campus.advance(milliseconds(stay));
        }
    }

    #[test]
    fn clocks_that_are_far_off_are_put_right_with_the_first_visit(
        knows_better: bool,
        (skews, steps, start, round_trip) in walks(4_000_000),
    ) {
        let mut campus = Campus::new(knows_better, &skews);
        campus.advance(milliseconds(start));
        for (at, stay) in steps {
            let took = campus.visit(at, milliseconds(round_trip));
            prop_assert!(took <= 3, "{took} requests at access point {at}");
            campus.advance(milliseconds(stay));
        }
    }
}

#[test]
fn the_old_access_points_clock_was_ahead_by_five_seconds() {
    for (knows_better, expected) in [(true, 2), (false, 3)] {
        let mut campus = Campus::new(knows_better, &[5000, 0]);
        assert_eq!(campus.visit(0, milliseconds(5)), 1);
        assert_eq!(campus.visit(1, milliseconds(5)), expected);
    }
}

fn with_nonces() -> Scene {
    let association = SecurityAssociation { replay: ReplayProtection::Nonces, ..association(SPI) };
    let entries = [("10.1.0.0/24".parse().unwrap(), association)];
    let mut scene =
        Scene::with(Config { associations: Arc::new(MobileHomeAssociations::new(entries).unwrap()), ..config() });
    scene.visit();
    scene
}

fn answer_with_nonce(scene: &mut Scene, code: ReplyCode, nonce: u32) {
    let reply = scene.reply(code);
    let identification = Identification(u64::from(nonce) << 32 | u64::from(reply.identification.low()));
    scene.deliver(&signed(&RegistrationReply { identification, ..reply }));
}

#[test]
fn with_nonces_the_home_agents_choice_is_the_high_half_of_the_next_request() {
    let mut scene = with_nonces();
    answer_with_nonce(&mut scene, ReplyCode::HA_IDENTIFICATION, 0x1111_1111);
    assert_eq!(scene.sent_at(), [0, 0], "the right nonce is known now");
    assert_eq!(scene.last_request().identification.seconds(), 0x1111_1111);
    answer_with_nonce(&mut scene, ReplyCode::ACCEPTED, 0x2222_2222);
    assert_eq!(scene.state(), "registered");
    scene.talk(seconds(540));
    assert_eq!(scene.last_request().identification.seconds(), 0x2222_2222);
    assert_eq!(scene.proxy.record(scene.now, CLIENT).unwrap().nonce, Some(0x2222_2222));
    answer_with_nonce(&mut scene, ReplyCode::HA_RESOURCES, 0x3333_3333);
    scene.talk(seconds(1));
    assert_eq!(scene.last_request().identification.seconds(), 0x3333_3333, "denials bring nonces, too");
    let lows: Vec<_> = scene.requests.iter().map(|(_, request)| request.identification.low()).collect();
    assert!(lows.windows(2).all(|pair| pair[0] != pair[1]), "{lows:?}");
}

#[test]
fn with_nonces_a_repetition_is_the_same_message() {
    let mut scene = with_nonces();
    scene.talk(seconds(3));
    let messages: Vec<_> = transmits(&scene.actions).iter().map(|transmit| transmit.payload.clone()).collect();
    assert_eq!(messages.len(), 3);
    assert!(messages.iter().all(|message| *message == messages[0]));
    scene.accept();
    assert_eq!(scene.state(), "registered");
}

#[test]
fn a_foreign_agents_denial_brings_no_nonce() {
    let mut scene = with_nonces();
    answer_with_nonce(&mut scene, ReplyCode::HA_IDENTIFICATION, 0x1111_1111);
    let reply = scene.reply(ReplyCode::FA_RESOURCES);
    let identification = Identification(0x9999_9999 << 32 | u64::from(reply.identification.low()));
    scene.deliver(&plain(&RegistrationReply { identification, ..reply }));
    scene.talk(seconds(3));
    assert_eq!(scene.last_request().identification.seconds(), 0x1111_1111);
}

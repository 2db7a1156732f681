//! What hostapd tells on its control socket, without the socket: one conversation about one radio.
//!
//! One attaches, asks for the stations one by one, and then hears of each that comes or goes. The socket delivers in order, so
//! a list that is under way is kept true by the events in between. hostapd drops events that a listener is too slow for, and
//! after some of them the listener, without a word: so it is asked whether it lives, and for the list again, now and then.

use std::{collections::BTreeSet, time::Duration};

use mipd_common::mac::MacAddress;

use super::notice::News;
use crate::mobility::{counters::counters, time::Instant};

/// How long an answer may take.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// How long nothing need be said before hostapd is asked whether it lives.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// How long after a list that broke off the next one begins.
const PAUSE: Duration = Duration::from_millis(200);
/// After so many signs of life, the stations are compared again.
const SIGNS_OF_LIFE: u32 = 12;
/// More stations than any access point has.
const MAXIMUM_STATIONS: usize = 8192;

counters! {
    /// What was heard of hostapd. The counters never decrease.
    pub struct Counters {
        hostapd_events: "events of hostapd about stations";
        hostapd_lists: "lists of stations taken from hostapd";
        hostapd_malformed: "datagrams from hostapd's control socket that make no sense, ignored";
        hostapd_lost: "conversations with hostapd that ended";
    }
}

/// What a conversation wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send this to hostapd.
    Send(String),
    /// This has happened.
    Tell(News),
    /// The conversation is over: begin another one.
    End(&'static str),
}

/// One conversation.
#[derive(Debug)]
pub struct Conversation {
    asked: Option<Question>,
    /// When the answer is overdue, or the next question is due.
    deadline: Instant,
    listed: BTreeSet<MacAddress>,
    /// Stations on the list so far, authorized or not.
    answers: usize,
    /// Something happened that calls for a new list.
    relist: bool,
    signs_of_life: u32,
    counters: Counters,
}

/// What hostapd was asked. It answers in order, one question at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Question {
    Attach,
    /// The next station of the list.
    Station,
    LifeSign,
}

impl Conversation {
    /// Begins one; what is counted adds to what was counted before.
    pub fn begin(now: Instant, counters: Counters) -> (Self, Output) {
        let mut conversation = Self {
            asked: None,
            deadline: now,
            listed: BTreeSet::new(),
            answers: 0,
            relist: false,
            signs_of_life: 0,
            counters,
        };
        let attach = conversation.ask(now, Question::Attach, "ATTACH".to_owned());
        (conversation, attach)
    }

    /// A datagram has come.
    pub fn receive(&mut self, now: Instant, datagram: &[u8], out: &mut Vec<Output>) {
        let Ok(text) = std::str::from_utf8(datagram) else {
            self.counters.hostapd_malformed += 1;
            return;
        };
        match event(text) {
            Some(event) => self.heed(now, event, out),
            None => self.take_answer(now, text, out),
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Instant {
        self.deadline
    }

    /// Asks what is due, or gives up.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Output>) {
        if now < self.deadline {
            return;
        }
        if self.asked.is_some() {
            self.deadline = now + PATIENCE;
            return self.end("hostapd does not answer", out);
        }
        out.push(if self.relist || self.signs_of_life >= SIGNS_OF_LIFE {
            self.begin_list(now)
        } else {
            self.ask(now, Question::LifeSign, "PING".to_owned())
        });
    }

    /// What was heard.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn ask(&mut self, now: Instant, question: Question, text: String) -> Output {
        self.asked = Some(question);
        self.deadline = now + PATIENCE;
        Output::Send(text)
    }

    fn begin_list(&mut self, now: Instant) -> Output {
        self.relist = false;
        self.signs_of_life = 0;
        self.answers = 0;
        self.listed.clear();
        self.ask(now, Question::Station, "STA-FIRST".to_owned())
    }

    fn rest(&mut self, now: Instant) {
        self.asked = None;
        self.deadline = if self.relist { now } else { now + KEEPALIVE };
    }

    fn end(&mut self, reason: &'static str, out: &mut Vec<Output>) {
        self.counters.hostapd_lost += 1;
        out.push(Output::End(reason));
    }

    fn heed(&mut self, now: Instant, event: Event, out: &mut Vec<Output>) {
        let listing = self.asked == Some(Question::Station);
        match event {
            Event::Connected(mac) => {
                self.counters.hostapd_events += 1;
                if listing && self.listed.len() < MAXIMUM_STATIONS {
                    self.listed.insert(mac);
                }
                out.push(Output::Tell(News::Associated(mac)));
            }
            Event::Disconnected(mac) => {
                self.counters.hostapd_events += 1;
                self.listed.remove(&mac);
                out.push(Output::Tell(News::Disassociated(mac)));
            }
            Event::Changed => {
                self.relist = true;
                if self.asked.is_none() {
                    self.deadline = now;
                }
            }
            Event::Terminating => self.end("hostapd ends", out),
            Event::Malformed => self.counters.hostapd_malformed += 1,
            Event::Other => {}
        }
    }

    fn take_answer(&mut self, now: Instant, text: &str, out: &mut Vec<Output>) {
        match self.asked {
            Some(Question::Attach) if text.trim_end() == "OK" => out.push(self.begin_list(now)),
            Some(Question::Attach) => self.end("hostapd does not let us listen", out),
            Some(Question::LifeSign) if text.trim_end() == "PONG" => {
                self.signs_of_life += 1;
                self.rest(now);
            }
            Some(Question::Station) => self.take_station(now, text, out),
            Some(Question::LifeSign) | None => self.counters.hostapd_malformed += 1,
        }
    }

    /// One station of the list. Nothing: that was the last one. `FAIL`: the one before has just left, so that hostapd does not
    /// know where to go on.
    fn take_station(&mut self, now: Instant, text: &str, out: &mut Vec<Output>) {
        if text.trim_end() == "FAIL" {
            (self.relist, self.asked, self.deadline) = (true, None, now + PAUSE);
            return;
        }
        if text.trim_end().is_empty() {
            self.counters.hostapd_lists += 1;
            out.push(Output::Tell(News::Stations(self.listed.iter().copied().collect())));
            self.rest(now);
            return;
        }
        let mut lines = text.lines();
        let Some(mac) = lines.next().and_then(|line| line.trim().parse::<MacAddress>().ok()) else {
            self.counters.hostapd_malformed += 1;
            return self.end("hostapd lists what is no station", out);
        };
        let authorized =
            lines.find_map(|line| line.strip_prefix("flags=")).is_some_and(|flags| flags.contains("[AUTHORIZED]"));
        if authorized {
            self.listed.insert(mac);
        }
        self.answers += 1;
        if self.answers > MAXIMUM_STATIONS {
            return self.end("hostapd lists stations without end", out);
        }
        out.push(self.ask(now, Question::Station, format!("STA-NEXT {mac}")));
    }
}

/// What hostapd says unasked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Event {
    Connected(MacAddress),
    Disconnected(MacAddress),
    /// The network was switched off or on: whoever was there may have gone without a word.
    Changed,
    Terminating,
    /// Nothing about stations.
    Other,
    /// About a station, but which?
    Malformed,
}

/// Reads `<3>AP-STA-CONNECTED 02:…`: a level in angle brackets, after which an event begins; `None` for an answer.
fn event(text: &str) -> Option<Event> {
    let (level, text) = text.strip_prefix('<')?.split_once('>')?;
    if level.is_empty() || !level.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut words = text.split_ascii_whitespace();
    let name = words.next().unwrap_or_default();
    let mut station = || words.next().and_then(|word| word.parse::<MacAddress>().ok());
    Some(match name {
        "AP-STA-CONNECTED" => station().map_or(Event::Malformed, Event::Connected),
        "AP-STA-DISCONNECTED" => station().map_or(Event::Malformed, Event::Disconnected),
        "AP-ENABLED" | "AP-DISABLED" | "INTERFACE-ENABLED" | "INTERFACE-DISABLED" => Event::Changed,
        "CTRL-EVENT-TERMINATING" => Event::Terminating,
        _ => Event::Other,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIRST: MacAddress = MacAddress([2, 0, 0, 0, 3, 0]);
    const SECOND: MacAddress = MacAddress([2, 0, 0, 0, 4, 0]);
    const AUTHORIZED: &str = "[AUTH][ASSOC][AUTHORIZED][WMM]";

    fn at(milliseconds: u64) -> Instant {
        Instant(Duration::from_millis(milliseconds))
    }

    /// What hostapd says of one station, as version 2.10 does.
    fn station(mac: MacAddress, flags: &str) -> String {
        format!("{mac}\nflags={flags}\naid=1\ncapability=0x431\nlisten_interval=5\nsupported_rates=02 04 0b 16\n")
    }

    struct Scene(Conversation, Instant);

    impl Scene {
        fn new() -> Self {
            let (conversation, first) = Conversation::begin(at(0), Counters::default());
            assert_eq!(first, Output::Send("ATTACH".into()));
            Self(conversation, at(0))
        }

        /// Attached, and the list of an empty network taken.
        fn listening() -> Self {
            let mut scene = Self::new();
            assert_eq!(scene.say("OK\n"), [send("STA-FIRST")]);
            assert_eq!(scene.say(""), [Output::Tell(News::Stations(vec![]))]);
            scene
        }

        fn say(&mut self, text: &str) -> Vec<Output> {
            let mut out = Vec::new();
            self.0.receive(self.1, text.as_bytes(), &mut out);
            out
        }

        fn wait(&mut self) -> Vec<Output> {
            self.1 = self.0.poll_timeout();
            let mut out = Vec::new();
            self.0.handle_timeout(self.1, &mut out);
            out
        }
    }

    fn send(text: &str) -> Output {
        Output::Send(text.into())
    }

    #[test]
    fn the_stations_are_listed_one_by_one_and_only_the_authorized_ones_count() {
        let mut scene = Scene::new();
        assert_eq!(scene.say("OK\n"), [send("STA-FIRST")]);
        assert_eq!(scene.say(&station(FIRST, AUTHORIZED)), [send("STA-NEXT 02:00:00:00:03:00")]);
        assert_eq!(scene.say(&station(SECOND, "[AUTH][ASSOC]")), [send("STA-NEXT 02:00:00:00:04:00")]);
        assert_eq!(scene.say(""), [Output::Tell(News::Stations(vec![FIRST]))]);
        assert_eq!(scene.0.poll_timeout(), at(5000));
    }

    #[test]
    fn events_tell_who_comes_and_goes() {
        let mut scene = Scene::listening();
        let event = scene.say("<3>AP-STA-CONNECTED 02:00:00:00:03:00 auth_alg=open");
        assert_eq!(event, [Output::Tell(News::Associated(FIRST))]);
        let event = scene.say("<3>AP-STA-DISCONNECTED 02:00:00:00:03:00");
        assert_eq!(event, [Output::Tell(News::Disassociated(FIRST))]);
        assert_eq!(scene.say("<3>WPS-PBC-ACTIVE "), []);
        assert_eq!(scene.0.counters().hostapd_events, 2);
    }

    #[test]
    fn events_while_the_list_is_taken_keep_it_true() {
        let mut scene = Scene::new();
        scene.say("OK\n");
        scene.say(&station(FIRST, AUTHORIZED));
        scene.say("<3>AP-STA-DISCONNECTED 02:00:00:00:03:00");
        scene.say("<3>AP-STA-CONNECTED 02:00:00:00:04:00");
        assert_eq!(scene.say(""), [Output::Tell(News::Stations(vec![SECOND]))]);
    }

    #[test]
    fn a_list_that_breaks_off_because_its_last_station_left_is_begun_again() {
        let mut scene = Scene::new();
        scene.say("OK\n");
        scene.say(&station(FIRST, AUTHORIZED));
        assert_eq!(scene.say("FAIL\n"), []);
        assert_eq!(scene.wait(), [send("STA-FIRST")]);
        assert_eq!(scene.say(""), [Output::Tell(News::Stations(vec![]))]);
    }

    #[test]
    fn a_silent_hostapd_is_asked_whether_it_lives_and_given_up_without_an_answer() {
        let mut scene = Scene::listening();
        assert_eq!(scene.wait(), [send("PING")]);
        assert_eq!(scene.1, at(5000));
        assert_eq!(scene.say("PONG\n"), []);
        assert_eq!(scene.wait(), [send("PING")]);
        assert_eq!(scene.wait(), [Output::End("hostapd does not answer")]);
        assert_eq!((scene.1, scene.0.counters().hostapd_lost), (at(12_000), 1));
    }

    #[test]
    fn the_stations_are_compared_every_minute_in_case_an_event_was_lost() {
        let mut scene = Scene::listening();
        for _ in 0..SIGNS_OF_LIFE {
            assert_eq!(scene.wait(), [send("PING")]);
            scene.say("PONG\n");
        }
        assert_eq!(scene.wait(), [send("STA-FIRST")]);
        assert_eq!(scene.1, at(65_000));
        assert_eq!(scene.say(""), [Output::Tell(News::Stations(vec![]))]);
        assert_eq!(scene.wait(), [send("PING")]);
    }

    #[test]
    fn a_network_that_is_switched_off_is_listed_again_at_once() {
        let mut scene = Scene::listening();
        assert_eq!(scene.say("<3>AP-DISABLED "), []);
        assert_eq!(scene.0.poll_timeout(), at(0));
        assert_eq!(scene.wait(), [send("STA-FIRST")]);
        scene.say("<3>AP-ENABLED ");
        scene.say("");
        assert_eq!(scene.wait(), [send("STA-FIRST")], "again, since it changed meanwhile");
    }

    #[test]
    fn the_end_of_hostapd_and_a_refusal_end_the_conversation() {
        let mut scene = Scene::listening();
        assert_eq!(scene.say("<3>CTRL-EVENT-TERMINATING "), [Output::End("hostapd ends")]);
        let mut scene = Scene::new();
        assert_eq!(scene.say("FAIL\n"), [Output::End("hostapd does not let us listen")]);
    }

    #[test]
    fn a_list_without_end_is_given_up() {
        let mut scene = Scene::new();
        scene.say("OK\n");
        for _ in 0..MAXIMUM_STATIONS {
            assert_eq!(scene.say(&station(FIRST, "[AUTH]")), [send("STA-NEXT 02:00:00:00:03:00")]);
        }
        assert_eq!(scene.say(&station(FIRST, "[AUTH]")), [Output::End("hostapd lists stations without end")]);
    }

    #[test]
    fn nonsense_is_counted_and_changes_nothing() {
        let mut scene = Scene::listening();
        for text in
            ["<3>AP-STA-CONNECTED", "<3>AP-STA-DISCONNECTED 02:00", "<3AP-STA-CONNECTED", "<>X", "PONG", "nothing"]
        {
            assert_eq!(scene.say(text), [], "{text}");
        }
        let mut out = Vec::new();
        scene.0.receive(at(0), &[0xff, 0xfe], &mut out);
        assert_eq!((out.len(), scene.0.counters().hostapd_malformed), (0, 7));
        assert_eq!(scene.0.poll_timeout(), at(5000));
    }

    proptest! {
        #[test]
        fn no_datagram_whatsoever_makes_it_panic_or_grow(
            datagrams in prop::collection::vec(prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                "(<[0-9]?>)?(AP-STA-(DIS)?CONNECTED|OK|FAIL|PONG|)[ \\n]?(02:00:00:00:0[0-9]:00)?(\nflags=\\[AUTHORIZED\\])?"
                    .prop_map(String::into_bytes),
            ], 0..60),
        ) {
            let mut scene = Scene::new();
            for datagram in datagrams {
                let mut out = Vec::new();
                scene.0.receive(scene.1, &datagram, &mut out);
                prop_assert!(out.len() <= 2);
                prop_assert!(scene.0.poll_timeout() <= scene.1 + KEEPALIVE);
                scene.wait();
            }
        }
    }
}

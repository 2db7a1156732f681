//! Where clients go, and when they speak.

use std::time::Duration;

use super::{Event, World};
use crate::{
    access_point::AccessPoint,
    client::Talk,
    kernel::{Fate, SILENCE},
    trace::Note,
};

/// A frame that soon after a question is taken for the answer.
const ANSWER_TIME: Duration = Duration::from_millis(320);

impl World {
    /// A client leaves without a word and goes elsewhere, or nowhere for a while.
    pub(super) fn roam(&mut self, client: usize) {
        self.leave(client);
        self.summary.moves += 1;
        let destination = self.choose_destination(client);
        self.note(Some(client), Note::Roams(destination));
        let stay = match destination {
            Some(access_point) => {
                self.associate(client, access_point);
                self.clients[client].choose_stay(self.conditions.stay)
            }
            None => self.clients[client].random.waiting(Duration::from_mins(1)),
        };
        let number = self.clients[client].stay;
        self.plan(stay, Event::Roam(client, number));
    }

    /// The client is not at its access point any more.
    pub(super) fn leave(&mut self, client: usize) {
        let at = self.at;
        let state = &mut self.clients[client];
        let last = state.last_frame(at);
        state.talking = None;
        state.noticed = None;
        state.stay += 1;
        let before = state.at.take();
        state.before = before.or(state.before);
        if let (Some(access_point), Some(last)) = (before, last) {
            let mac = self.clients[client].mac;
            self.access_points[access_point].kernel.heard_talking(mac, last);
        }
    }

    fn choose_destination(&mut self, client: usize) -> Option<usize> {
        let state = &mut self.clients[client];
        let (here, home) = (state.before, state.home);
        let random = &mut state.random;
        let choice = random.below(100);
        let subnet = match (choice, here) {
            (0..=29, Some(here)) => self.access_points[here].subnet,
            (30..=44, _) => home,
            (45..=53, _) => return None,
            (54..=59, Some(here)) => return Some(here).filter(|here| self.access_points[*here].powered),
            _ => self.access_points[random.below(self.access_points.len())].subnet,
        };
        let candidates = &self.subnets[subnet];
        if candidates.is_empty() {
            return None;
        }
        Some(random.one_of(candidates)).filter(|access_point| self.access_points[*access_point].powered)
    }

    fn associate(&mut self, client: usize, access_point: usize) {
        let state = &mut self.clients[client];
        state.at = Some(access_point);
        state.lost_questions = 0;
        state.talk = state.choose_talk();
        let first = state.choose_first_word();
        let (number, mac, address) = (state.stay, state.mac, state.address);
        let mut is_announced = false;
        if self.conditions.associations {
            self.drive_access_point(access_point, |access_point, at, out| {
                is_announced = access_point.associate(at, mac, address, out);
            });
        }
        self.clients[client].is_announced = is_announced;
        self.plan(first, Event::Speak(client, number));
    }

    /// A client sends a frame of its own accord.
    pub(super) fn speak(&mut self, client: usize) {
        let state = &self.clients[client];
        let Some(access_point) = state.at else { return };
        if state.talking.is_some() {
            return;
        }
        self.note(Some(client), Note::Speaks(access_point));
        self.excuse_unnoticed_absence(client, access_point);
        self.begin_check(client);
        self.hear(client, access_point, false);
        let knows = self.access_points[access_point].kernel.station(self.clients[client].mac).is_some();
        let state = &mut self.clients[client];
        let number = state.stay;
        match state.talk {
            Talk::Constantly(_) if knows => state.talking = Some(self.at),
            Talk::Constantly(period) => self.plan(period, Event::Speak(client, number)),
            Talk::NowAndThen(mean) => {
                let pause = state.random.waiting(mean);
                self.plan(pause, Event::Speak(client, number));
            }
        }
    }

    /// Unless it is told of associations, an access point cannot know that a client was elsewhere for less than the silence that makes it wonder, or that it is
    /// back just in time to answer a question; Where the client
    /// was meanwhile it may have been registered, and only the end of that registration mends it.
    pub(super) fn excuse_unnoticed_absence(&mut self, client: usize, access_point: usize) {
        let at = self.at;
        let state = &mut self.clients[client];
        let here = &self.access_points[access_point];
        let Some(station) = here.kernel.station(state.mac).filter(|_| state.noticed.is_none()) else { return };
        let was_away_briefly = at.since(station.last_seen) < SILENCE;
        let answers = state.asked.is_some_and(|(by, asked)| by == access_point && at.since(asked) < ANSWER_TIME);
        if !state.is_announced && (was_away_briefly || answers) {
            state.excused = state.excused.max(at + self.properties.lifetime());
        }
    }

    /// A frame of a client reaches its access point.
    pub(super) fn hear(&mut self, client: usize, access_point: usize, answers: bool) {
        let (mac, address) = (self.clients[client].mac, self.clients[client].address);
        let at = self.at;
        if !self.access_points[access_point].powered {
            return;
        }
        if let Some(last) = self.clients[client].last_frame(at) {
            self.access_points[access_point].kernel.heard_talking(mac, last);
        }
        let kernel = &mut self.access_points[access_point].kernel;
        let fate = if answers { kernel.hear_answer(at, mac, address) } else { kernel.hear(at, mac, address) };
        if fate == Fate::Sent {
            self.learn(client, access_point);
        }
        self.drive_access_point(access_point, AccessPoint::take_events);
    }

    /// A frame with the client's MAC goes from an access point into its subnet.
    pub(super) fn learn(&mut self, client: usize, access_point: usize) {
        if self.access_points[access_point].plugged {
            let subnet = self.access_points[access_point].subnet;
            self.switches[subnet].insert(client, (access_point, self.at));
        }
    }
}

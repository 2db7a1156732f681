//! Is the client still there? A proxy must know before each renewal (RFC 5563 §4), and a late request of an access
//! point that the client has left would hijack the registration made elsewhere.
//!
//! A silent client is asked; three questions without an answer mean that it has gone. While it keeps answering, it is
//! asked less and less often.

use std::time::Duration;

use crate::mobility::time::Instant;

/// Silence after which a client is first asked, and after which it may have registered elsewhere; also the time that it
/// has for each answer.
pub(super) const SILENCE: Duration = Duration::from_secs(1);
/// A visitor heard so recently is certainly still here. A client that has left a moment ago is registered elsewhere within
/// milliseconds, and a request on no better ground than its last frame here would take that registration away for good.
pub(super) const FRESH: Duration = Duration::from_millis(50);
/// Questions in a row that a client may leave unanswered.
const UNANSWERED_LIMIT: u8 = 3;
/// A frame that soon after a question may be its answer: kernel programs report the answer as a frame first. If nothing
/// says so in this time, the client has missed the question.
const ANSWER_TIME: Duration = Duration::from_millis(300);
/// The time of the same frame, read twice, may differ by this: the kernel's clock and ours are not read at the same moment,
/// and the agent may be interrupted in between.
const READING_ERROR: Duration = Duration::from_millis(10);

/// Watches one client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    heard: Option<Instant>,
    next: Instant,
    quiet: Duration,
    unanswered: u8,
    asked: Instant,
    answered: Option<Instant>,
    /// Heard right after a question, but the frame is not yet known to be the answer.
    doubtful: bool,
}

/// What it takes to go on believing that the client is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// Nothing yet.
    Nothing,
    /// Ask it.
    Question,
    /// It is there, but was not when it was asked: it may have been elsewhere.
    Missed,
    /// It has gone.
    Departed,
}

/// What a proof of attachment tells besides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Presence {
    /// The client was here all the time.
    Unbroken,
    /// It may have been elsewhere since the last proof.
    Interrupted,
}

impl Watch {
    /// A client that was heard now.
    pub fn new(now: Instant) -> Self {
        Self {
            heard: Some(now),
            next: now + SILENCE,
            quiet: SILENCE,
            unanswered: 0,
            asked: now,
            answered: None,
            doubtful: false,
        }
    }

    /// A client known from before a restart: to be asked at once.
    pub fn unheard(now: Instant) -> Self {
        Self { heard: None, next: now, ..Self::new(now) }
    }

    /// When [`due`](Self::due) wants to be called.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// When the client was last heard, if it was since the restart.
    pub fn last_heard(&self) -> Option<Instant> {
        self.heard
    }

    /// Whether the client was heard less than `lately` ago.
    pub fn was_heard(&self, now: Instant, lately: Duration) -> bool {
        self.heard.is_some_and(|heard| now.since(heard) < lately)
    }

    /// The client sent a frame at `at`, which may lie in the past.
    pub fn hear(&mut self, at: Instant) -> Presence {
        if self.heard.is_some_and(|heard| at <= heard + READING_ERROR) {
            return Presence::Unbroken;
        }
        let was_silent = self.heard.is_none_or(|heard| at.since(heard) >= SILENCE);
        self.heard = Some(at);
        if self.unanswered == 1 && at.since(self.asked) <= ANSWER_TIME {
            self.doubtful = true;
            self.next = self.asked + ANSWER_TIME;
            return Presence::Unbroken;
        }
        let presence = if self.unanswered > 0 || was_silent { Presence::Interrupted } else { Presence::Unbroken };
        if self.answered.is_none_or(|answered| at.since(answered) > ANSWER_TIME) {
            self.quiet = SILENCE;
        }
        self.settle(at);
        presence
    }

    /// The client answered a question. The next one comes after `longest_quiet` at the latest.
    pub fn answer(&mut self, now: Instant, longest_quiet: Duration) -> Presence {
        let presence = if self.unanswered > 1 { Presence::Interrupted } else { Presence::Unbroken };
        if self.unanswered > 0 {
            self.answered = Some(now);
            self.quiet = (self.quiet * 2).min(longest_quiet);
        }
        self.heard = self.heard.max(Some(now));
        self.settle(now);
        presence
    }

    /// The client associated: it is here, whatever it has or has not answered.
    pub fn meet(&mut self, now: Instant) {
        self.heard = self.heard.max(Some(now));
        self.quiet = SILENCE;
        self.settle(now);
    }

    fn settle(&mut self, heard: Instant) {
        self.unanswered = 0;
        self.doubtful = false;
        self.next = heard + self.quiet;
    }

    /// How many questions in a row it has not answered.
    pub fn unanswered(&self) -> u8 {
        self.unanswered
    }

    /// A proof of attachment is wanted now.
    pub fn ask_at_once(&mut self, now: Instant) {
        if self.unanswered == 0 {
            self.next = now;
        }
    }

    /// Called when the time of [`next`](Self::next) has come.
    pub fn due(&mut self, now: Instant) -> Due {
        if now < self.next {
            return Due::Nothing;
        }
        if self.doubtful {
            self.quiet = SILENCE;
            self.settle(now);
            return Due::Missed;
        }
        if self.unanswered >= UNANSWERED_LIMIT {
            return Due::Departed;
        }
        self.unanswered += 1;
        self.asked = now;
        self.next = now + SILENCE;
        Due::Question
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST_QUIET: Duration = Duration::from_mins(1);

    fn at(milliseconds: u64) -> Instant {
        Instant(Duration::from_millis(milliseconds))
    }

    #[test]
    fn a_silent_client_is_asked_each_second_and_gone_after_three_questions() {
        let mut watch = Watch::new(at(10_000));
        assert_eq!(watch.due(at(10_999)), Due::Nothing);
        for second in [11_000, 12_000, 13_000] {
            assert_eq!(watch.next(), at(second));
            assert_eq!(watch.due(at(second)), Due::Question);
        }
        assert_eq!(watch.due(at(14_000)), Due::Departed);
    }

    #[test]
    fn an_answering_client_is_asked_ever_less_often_up_to_a_minute() {
        let mut watch = Watch::new(at(0));
        let mut intervals = vec![];
        for _ in 0..8 {
            let asked = watch.next();
            assert_eq!(watch.due(asked), Due::Question);
            assert_eq!(watch.answer(asked + Duration::from_millis(5), LONGEST_QUIET), Presence::Unbroken);
            intervals.push(watch.next().since(asked).as_secs());
        }
        assert_eq!(intervals, [2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn an_answer_that_is_also_reported_as_traffic_counts_once() {
        let mut watch = Watch::new(at(0));
        watch.due(at(1000));
        assert_eq!(watch.hear(at(1004)), Presence::Unbroken);
        assert_eq!(watch.answer(at(1005), LONGEST_QUIET), Presence::Unbroken);
        watch.hear(at(1006));
        assert_eq!(watch.next(), at(3005));
    }

    #[test]
    fn a_frame_right_after_a_question_without_an_answer_is_a_return() {
        let mut watch = Watch::new(at(0));
        watch.due(at(1000));
        assert_eq!(watch.hear(at(1100)), Presence::Unbroken, "it may yet be the answer");
        assert_eq!(watch.due(at(1299)), Due::Nothing);
        assert_eq!(watch.due(at(1300)), Due::Missed);
        assert_eq!(watch.next(), at(2300));
    }

    #[test]
    fn traffic_brings_the_short_interval_back() {
        let mut watch = Watch::new(at(0));
        for _ in 0..3 {
            let asked = watch.next();
            watch.due(asked);
            watch.answer(asked, LONGEST_QUIET);
        }
        let heard = watch.last_heard().unwrap() + Duration::from_millis(900);
        assert_eq!(watch.hear(heard), Presence::Unbroken);
        assert_eq!(watch.next(), heard + SILENCE);
    }

    #[test]
    fn a_client_that_missed_a_question_may_have_been_elsewhere() {
        let mut watch = Watch::new(at(0));
        watch.due(at(1000));
        assert_eq!(watch.hear(at(1900)), Presence::Interrupted);
        watch.due(at(2900));
        watch.due(at(3900));
        assert_eq!(watch.answer(at(3950), LONGEST_QUIET), Presence::Interrupted);
    }

    #[test]
    fn a_client_that_breaks_a_second_of_silence_unasked_may_have_been_elsewhere() {
        let mut watch = Watch::new(at(0));
        watch.due(at(1000));
        watch.answer(at(1001), LONGEST_QUIET);
        assert_eq!(watch.hear(at(2000)), Presence::Unbroken);
        watch.due(at(3000));
        watch.answer(at(3001), LONGEST_QUIET);
        assert_eq!(watch.hear(at(4001)), Presence::Interrupted);
    }

    #[test]
    fn a_talking_client_read_four_times_a_second_is_neither_asked_nor_suspected() {
        let mut watch = Watch::new(at(0));
        for reading in 1..100 {
            assert_eq!(watch.hear(at(reading * 250 - 3)), Presence::Unbroken);
            assert_eq!(watch.due(at(reading * 250)), Due::Nothing);
        }
    }

    #[test]
    fn old_news_changes_nothing() {
        let mut watch = Watch::new(at(5000));
        watch.due(at(6000));
        assert_eq!(watch.hear(at(4000)), Presence::Unbroken);
        assert_eq!(watch.last_heard(), Some(at(5000)));
        assert_eq!(watch.next(), at(7000));
    }

    #[test]
    fn the_same_frame_read_a_little_later_is_no_new_one() {
        let mut watch = Watch::new(at(5000));
        watch.due(at(6000));
        assert_eq!(watch.hear(at(5001)), Presence::Unbroken);
        assert_eq!(watch.next(), at(7000), "not taken for an answer");
        watch.due(at(7000));
        watch.hear(at(5003));
        watch.due(at(8000));
        assert_eq!(watch.due(at(9000)), Due::Departed);
    }

    #[test]
    fn a_client_of_an_earlier_run_is_asked_at_once_and_not_taken_as_heard() {
        let mut watch = Watch::unheard(at(1000));
        assert!(!watch.was_heard(at(1000), SILENCE));
        assert_eq!(watch.due(at(1000)), Due::Question);
        assert_eq!(watch.answer(at(1001), LONGEST_QUIET), Presence::Unbroken);
        assert!(watch.was_heard(at(1999), SILENCE));
        assert!(!watch.was_heard(at(2001), SILENCE));
    }
}

//! The relay agent of visitors (RFC 2131, RFC 3046): what they say to the DHCP server of their home network, and which of the
//! answers are theirs.

use std::{collections::HashMap, net::Ipv4Addr, time::Duration};

use mipd_common::mac::MacAddress;

use crate::{
    mobility::{pace::Pace, time::Instant},
    wire::dhcp::{
        ClientMessage,
        relay::{Answer, Relay, Verdict},
    },
};

/// How long an answer is waited for: longer than any client does before it asks anew.
const PATIENCE: Duration = Duration::from_mins(1);
/// What one client may say: clients repeat themselves every few seconds.
const PACE: Pace = Pace::new(Duration::from_secs(1), 8);
/// How many clients' questions are remembered. Further ones are not relayed.
const MAXIMUM_QUESTIONS: usize = 4096;

/// What became of visitors' DHCP messages, for `mipd show counters`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Passed on to the home network.
    pub relayed: u64,
    /// Of those, repeated because nobody had answered.
    pub unanswered: u64,
    /// Answers handed to their clients.
    pub answered: u64,
    /// Of those, refusals.
    pub refused: u64,
    /// Not passed on: too many, malformed, or pretending to have been relayed.
    pub suppressed: u64,
    /// Answers that nobody had asked for, or malformed.
    pub discarded: u64,
}

/// What was asked last.
#[derive(Clone, Copy, Debug)]
struct Question {
    transaction: u32,
    server: Ipv4Addr,
    asked: Instant,
    /// No answer was final yet.
    open: bool,
    pace: Pace,
}

/// All visitors' questions, by client.
#[derive(Debug, Default)]
pub struct RelayAgent {
    questions: HashMap<MacAddress, Question>,
    counters: Counters,
}

impl RelayAgent {
    /// The message as it goes to the server, or `None` if it is not passed on. `expects_answer`: not after a release.
    pub fn ask(
        &mut self,
        now: Instant,
        relay: &Relay,
        message: &ClientMessage,
        payload: &[u8],
        expects_answer: bool,
    ) -> Option<Vec<u8>> {
        let relayed = if self.admit(now, relay, message, expects_answer) { relay.request(payload).ok() } else { None };
        let counter = if relayed.is_some() { &mut self.counters.relayed } else { &mut self.counters.suppressed };
        *counter += 1;
        relayed
    }

    fn admit(&mut self, now: Instant, relay: &Relay, message: &ClientMessage, expects_answer: bool) -> bool {
        if self.questions.len() >= MAXIMUM_QUESTIONS {
            self.questions.retain(|_, question| now.since(question.asked) < PATIENCE);
        }
        let known = self.questions.get(&message.client_mac).copied();
        if known.is_none() && self.questions.len() >= MAXIMUM_QUESTIONS {
            return false;
        }
        let mut pace = known.map_or(PACE, |question| question.pace);
        if !pace.admit(now) {
            return false;
        }
        self.counters.unanswered += u64::from(known.is_some_and(|question| question.open));
        let (transaction, server) = (message.transaction, relay.server_identifier);
        let question = Question { transaction, server, asked: now, open: expects_answer, pace };
        self.questions.insert(message.client_mac, question);
        true
    }

    /// The answer to a question of ours, whose relay agent is `address`, and the server that was asked.
    pub fn take_answer(&mut self, now: Instant, address: Ipv4Addr, payload: &[u8]) -> Option<(Answer, Ipv4Addr)> {
        let Some((answer, question)) = self.expected(now, address, payload) else {
            self.counters.discarded += 1;
            return None;
        };
        // Of several servers the first one counts; a late refusal by another would take the address away again.
        question.open = answer.verdict == Verdict::Offer;
        let server = question.server;
        self.counters.answered += 1;
        self.counters.refused += u64::from(answer.verdict == Verdict::Refusal);
        Some((answer, server))
    }

    fn expected(&mut self, now: Instant, address: Ipv4Addr, payload: &[u8]) -> Option<(Answer, &mut Question)> {
        let answer = Answer::parse(payload).ok().filter(|answer| answer.relay == address)?;
        let question = self.questions.get_mut(&answer.client_mac)?;
        let fits = question.open && question.transaction == answer.transaction && now.since(question.asked) < PATIENCE;
        fits.then_some((answer, question))
    }

    /// The counters.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::dhcp::MessageType;

    const RELAY: Relay = Relay {
        address: Ipv4Addr::new(10, 2, 0, 11),
        subnet: Ipv4Addr::new(10, 1, 0, 1),
        server_identifier: Ipv4Addr::new(10, 1, 0, 1),
    };

    fn at(seconds: u64) -> Instant {
        Instant(Duration::from_secs(seconds))
    }

    fn mac(number: u16) -> MacAddress {
        let [a, b] = number.to_be_bytes();
        MacAddress([2, 0, 0, 0, a, b])
    }

    fn payload(operation: u8, client: MacAddress, transaction: u32, kind: u8) -> Vec<u8> {
        let mut payload = vec![0; 236];
        payload[..3].copy_from_slice(&[operation, 1, 6]);
        payload[4..8].copy_from_slice(&transaction.to_be_bytes());
        payload[24..28].copy_from_slice(&RELAY.address.octets());
        payload[28..34].copy_from_slice(&client.0);
        payload.extend([99, 130, 83, 99, 53, 1, kind, 255]);
        payload
    }

    fn ask(agent: &mut RelayAgent, now: Instant, client: MacAddress, transaction: u32) -> bool {
        let mut payload = payload(1, client, transaction, 3);
        payload[24..28].fill(0);
        let message = ClientMessage::parse(&payload).unwrap();
        assert_eq!(message.message_type, MessageType::Request);
        agent.ask(now, &RELAY, &message, &payload, true).is_some()
    }

    fn answer(agent: &mut RelayAgent, now: Instant, client: MacAddress, transaction: u32, kind: u8) -> bool {
        agent.take_answer(now, RELAY.address, &payload(2, client, transaction, kind)).is_some()
    }

    #[test]
    fn only_the_first_final_answer_to_the_last_question_counts() {
        let mut agent = RelayAgent::default();
        assert!(ask(&mut agent, at(1), mac(1), 7) && ask(&mut agent, at(3), mac(1), 8));
        assert!(!answer(&mut agent, at(4), mac(1), 7, 5), "the question was asked anew");
        assert!(!answer(&mut agent, at(4), mac(2), 8, 5), "somebody else's");
        assert!(answer(&mut agent, at(4), mac(1), 8, 5));
        assert!(!answer(&mut agent, at(4), mac(1), 8, 6), "another server refuses, too late");
        let counters = agent.counters();
        assert_eq!((counters.relayed, counters.unanswered, counters.answered, counters.discarded), (2, 1, 1, 3));
    }

    #[test]
    fn an_answer_for_another_relay_agent_or_after_a_minute_is_none() {
        let mut agent = RelayAgent::default();
        assert!(ask(&mut agent, at(1), mac(1), 7));
        assert!(agent.take_answer(at(2), Ipv4Addr::new(10, 2, 0, 12), &payload(2, mac(1), 7, 5)).is_none());
        assert!(!answer(&mut agent, at(61), mac(1), 7, 5));
    }

    #[test]
    fn a_client_that_asks_all_the_time_is_passed_on_once_a_second() {
        let mut agent = RelayAgent::default();
        let passed = |agent: &mut RelayAgent, second| (0..100).filter(|_| ask(agent, at(second), mac(1), 7)).count();
        assert_eq!(passed(&mut agent, 100), 8);
        assert_eq!(passed(&mut agent, 101), 1);
        assert_eq!(agent.counters().suppressed, 191);
    }

    #[test]
    fn ten_thousand_clients_are_not_remembered() {
        let mut agent = RelayAgent::default();
        let passed = (0..10_000).filter(|number| ask(&mut agent, at(1), mac(*number), 7)).count();
        assert_eq!((passed, agent.questions.len()), (MAXIMUM_QUESTIONS, MAXIMUM_QUESTIONS));
        assert!(ask(&mut agent, at(61), mac(10_000), 7), "old questions make room");
    }
}

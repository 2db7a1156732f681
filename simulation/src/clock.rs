//! Simulated time: the queue of what happens next, and each node's own two clocks, which are wrong.

use std::{cmp::Ordering, collections::BinaryHeap, time::Duration};

use mipd_agent::{
    mobility::time::{Instant, Now},
    wire::types::Identification,
};

use crate::random::Stream;

/// Things to come, in order of time, and among simultaneous ones in the order in which they were planned.
#[derive(Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Planned<E>>,
    planned: u64,
}

#[derive(Debug)]
struct Planned<E> {
    at: Instant,
    number: u64,
    event: E,
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<E> Eq for Planned<E> {}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Planned<E> {
    /// The heap's top is its greatest element: the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), planned: 0 }
    }
}

impl<E> Queue<E> {
    /// Plans an event.
    pub fn plan(&mut self, at: Instant, event: E) {
        self.planned += 1;
        self.heap.push(Planned { at, number: self.planned, event });
    }

    /// Takes the next event unless it lies beyond `end`.
    pub fn take(&mut self, end: Instant) -> Option<(Instant, E)> {
        if self.heap.peek()?.at > end {
            return None;
        }
        self.heap.pop().map(|planned| (planned.at, planned.event))
    }
}

/// The clocks of one node. Its monotonic clock starts with its agent and drifts; its wall clock is off, and may jump.
#[derive(Clone, Copy, Debug)]
pub struct NodeClock {
    started: Instant,
    drift_ppm: i64,
    /// What the wall clock shows at the beginning of the simulation.
    origin: Identification,
}

impl NodeClock {
    /// Clocks up to `skew` seconds off, drifting by up to 100 ppm.
    pub fn new(origin: Identification, skew: u32, stream: &mut Stream) -> Self {
        let skew = stream.around_zero(skew * 1000) * ((1 << 32) / 1000);
        let drift_ppm = stream.around_zero(100);
        Self { started: Instant::default(), drift_ppm, origin: Identification(origin.0.wrapping_add_signed(skew)) }
    }

    /// What the node's clocks show.
    pub fn now(&self, at: Instant) -> Now {
        let since_the_beginning = self.local(at.0);
        let units = ntp_units(since_the_beginning);
        Now { instant: self.instant(at), wall: Identification(self.origin.0.wrapping_add(units)) }
    }

    /// The same with the time of the state store, which nobody sets.
    pub fn stored(&self, at: Instant) -> Now {
        Now { instant: self.instant(at), wall: Identification(ntp_units(self.local(at.0))) }
    }

    /// What its monotonic clock shows.
    pub fn instant(&self, at: Instant) -> Instant {
        Instant(self.local(at.since(self.started)))
    }

    /// The first moment at which the monotonic clock shows `local`.
    pub fn moment(&self, local: Instant) -> Instant {
        let mut elapsed = scale(local.0, -self.drift_ppm);
        while self.local(elapsed) < local.0 {
            elapsed += Duration::from_micros(1);
        }
        self.started + elapsed
    }

    /// How much time passes on the monotonic clock between two moments.
    pub fn elapsed(&self, from: Instant, to: Instant) -> Duration {
        self.local(to.0).saturating_sub(self.local(from.0))
    }

    /// The agent is started: its monotonic clock starts anew.
    pub fn restart(&mut self, at: Instant) {
        self.started = at;
    }

    /// Somebody sets the wall clock.
    pub fn jump(&mut self, seconds: i64) {
        self.origin = Identification(self.origin.0.wrapping_add_signed(seconds << 32));
    }

    fn local(&self, elapsed: Duration) -> Duration {
        scale(elapsed, self.drift_ppm)
    }
}

/// So many millionths longer.
fn scale(duration: Duration, ppm: i64) -> Duration {
    let difference = Duration::from_nanos((duration.as_nanos() as u64 / 1000 * ppm.unsigned_abs()) / 1000);
    if ppm < 0 { duration.saturating_sub(difference) } else { duration + difference }
}

fn ntp_units(duration: Duration) -> u64 {
    (duration.as_secs() << 32) + ((u64::from(duration.subsec_nanos()) << 32) / 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    #[test]
    fn events_come_in_order_of_time_and_then_of_planning() {
        let mut queue = Queue::default();
        let at = |seconds| Instant(Duration::from_secs(seconds));
        for (seconds, name) in [(2, 'c'), (1, 'a'), (1, 'b'), (9, 'd')] {
            queue.plan(at(seconds), name);
        }
        let taken: String = std::iter::from_fn(|| queue.take(at(8))).map(|(_, name)| name).collect();
        assert_eq!(taken, "abc");
    }

    #[test]
    fn a_drifting_clock_has_reached_what_it_is_waited_for() {
        for index in 0..200 {
            let mut stream = Stream::new(7, Purpose::Campus, index);
            let mut clock = NodeClock::new(Identification(0), 5, &mut stream);
            clock.restart(Instant(Duration::from_nanos(stream.number() >> 24)));
            let local = Instant(Duration::from_nanos(stream.number() >> 20));
            let moment = clock.moment(local);
            assert!(clock.instant(moment) >= local);
            assert!(clock.instant(moment).since(local) <= Duration::from_micros(2));
        }
    }
}

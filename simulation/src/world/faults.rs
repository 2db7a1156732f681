//! What fails by itself: agents that are restarted or killed, boxes without current, cut cables, clocks that jump.

use std::time::Duration;

use mipd_agent::mobility::security::ReplayProtection;

use super::{Event, World, boxes::RESTART};
use crate::{
    access_point::AccessPoint,
    disk::Mark,
    trace::{Node, Note},
};

/// Something works again, after so long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mend {
    /// The agent is started, with what is on disk.
    Start(Node, Duration),
    /// The cable is in again: an access point's uplink, or a router's way to the others.
    Connect(Node, Duration),
}

/// What befalls a box.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// The agent is restarted in good order.
    Restart,
    /// The agent is killed, and started again soon.
    Kill,
    /// The box has no current for a while.
    PowerOff,
    /// The box is exchanged for a new one with the same configuration.
    Replace,
    /// The cable is out for a while.
    Disconnect,
    /// Somebody sets the wall clock.
    SetClock,
}

const FAULTS: [Fault; 8] = [
    Fault::Restart,
    Fault::Restart,
    Fault::Kill,
    Fault::PowerOff,
    Fault::Replace,
    Fault::Disconnect,
    Fault::Disconnect,
    Fault::SetClock,
];

/// How long a box is without current, or a cable out.
const OUTAGE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(45));
/// By how much clocks are set, at most, in seconds.
const JUMP: u32 = 30;

impl World {
    pub(super) fn plan_fault(&mut self) {
        if let Some(mean) = self.conditions.faults {
            let after = self.faults.waiting(mean);
            self.plan(after, Event::Fault);
        }
    }

    pub(super) fn fail(&mut self) {
        self.plan_fault();
        let fault = self.faults.one_of(&FAULTS);
        // There are fewer routers, and each of them matters more.
        let node = if self.faults.below(3) == 0 {
            Node::Router(self.faults.below(self.routers.len()))
        } else {
            Node::AccessPoint(self.faults.below(self.access_points.len()))
        };
        let (shortest, longest) = if matches!(fault, Fault::Restart | Fault::Kill) { RESTART } else { OUTAGE };
        let outage = self.faults.between(shortest, longest);
        let jump = self.faults.around_zero(JUMP);
        let happened = match node {
            Node::Router(router) => self.fail_router(router, fault, outage, jump),
            Node::AccessPoint(access_point) => self.fail_access_point(access_point, fault, outage, jump),
        };
        if happened {
            self.summary.faults += 1;
            let what = match fault {
                Fault::Restart => "is restarted",
                Fault::Kill => "is killed",
                Fault::PowerOff => "has no current",
                Fault::Replace => "is replaced",
                Fault::Disconnect => "is disconnected",
                Fault::SetClock => "gets its clock set",
            };
            self.note(None, Note::Befell(node, what));
        }
    }

    fn fail_access_point(&mut self, index: usize, fault: Fault, outage: Duration, jump: i64) -> bool {
        let access_point = &mut self.access_points[index];
        if access_point.agent.is_none() || !access_point.plugged {
            return false;
        }
        let node = Node::AccessPoint(index);
        match fault {
            Fault::SetClock => access_point.clock.jump(jump),
            Fault::Disconnect => {
                access_point.plugged = false;
                access_point.stability.fail();
                self.drive_access_point(index, AccessPoint::change_uplink);
                self.plan(outage, Event::Mend(Mend::Connect(node, outage)));
            }
            Fault::Restart | Fault::Kill => {
                access_point.stop(self.at, fault == Fault::Restart);
                access_point.stability.fail();
                self.plan(outage, Event::Mend(Mend::Start(node, outage)));
            }
            Fault::PowerOff | Fault::Replace => {
                access_point.stop(self.at, false);
                access_point.powered = false;
                access_point.kernel.power_off();
                access_point.stability.fail();
                if fault == Fault::Replace {
                    access_point.disk.wipe();
                }
                self.drive_away_clients(index);
                self.plan(outage, Event::Mend(Mend::Start(node, outage)));
            }
        }
        true
    }

    /// The clients of an access point without current look for another one.
    fn drive_away_clients(&mut self, access_point: usize) {
        for client in 0..self.clients.len() {
            if self.clients[client].at == Some(access_point) {
                self.leave(client);
                self.note(Some(client), Note::Roams(None));
                let pause = self.clients[client].random.between(Duration::from_millis(300), Duration::from_secs(3));
                let number = self.clients[client].stay;
                self.plan(pause, Event::Roam(client, number));
            }
        }
    }

    fn fail_router(&mut self, index: usize, fault: Fault, outage: Duration, jump: i64) -> bool {
        let at = self.at;
        let router = &mut self.routers[index];
        if router.agent.is_none() || !router.connected {
            return false;
        }
        let node = Node::Router(index);
        if fault == Fault::SetClock {
            router.clock.jump(jump);
            return true;
        }
        router.visit_stability.fail();
        router.home_stability.fail();
        if fault == Fault::Disconnect {
            router.connected = false;
            self.plan(outage, Event::Mend(Mend::Connect(node, outage)));
            return true;
        }
        let mut out = Vec::new();
        let lost = router.stop(at, fault == Fault::Restart, &mut out);
        self.obey_stopped_router(index, out);
        self.compare_all(index);
        // What was bound a moment before the end is bound no more, and only a renewal mends that.
        for address in lost {
            let Some(client) = self.topology.client_with(address.0) else { continue };
            let until = at + outage + self.properties.lifetime();
            let state = &mut self.clients[client];
            state.excused = state.excused.max(until);
            // Times have a mark that they are below; nonces have none.
            if self.conditions.replay == ReplayProtection::Nonces {
                self.properties.forget(client);
            }
        }
        if fault == Fault::Replace {
            self.wipe_router(index);
        }
        self.plan(outage, Event::Mend(Mend::Start(node, outage)));
        true
    }

    fn wipe_router(&mut self, index: usize) {
        let router = &mut self.routers[index];
        router.bindings.wipe();
        router.visitors.wipe();
        router.mark = Mark::default();
        if self.scenario.is_home_agent(index) {
            let own: Vec<_> = (0..self.clients.len()).filter(|client| self.clients[*client].home == index).collect();
            for client in own {
                self.properties.forget(client);
                let until = self.at + self.properties.lifetime() + Duration::from_mins(1);
                let state = &mut self.clients[client];
                state.excused = state.excused.max(until);
            }
        }
    }

    pub(super) fn mend(&mut self, mend: Mend) {
        let at = self.at;
        match mend {
            Mend::Start(node @ Node::AccessPoint(index), outage) => {
                self.access_points[index].powered = true;
                self.access_points[index].wake = None;
                self.access_points[index].stability.recover(at, outage * 2);
                self.note(None, Note::Befell(node, "is started"));
                self.start_access_point(index);
            }
            Mend::Start(node @ Node::Router(index), outage) => {
                let router = &mut self.routers[index];
                router.wake = None;
                router.visit_stability.recover(at, outage * 2);
                router.home_stability.recover(at, outage * 2);
                self.note(None, Note::Befell(node, "is started"));
                self.start_router(index);
                self.compare_all(index);
            }
            Mend::Connect(node @ Node::AccessPoint(index), outage) => {
                self.access_points[index].plugged = true;
                self.access_points[index].stability.recover(at, outage * 2);
                self.note(None, Note::Befell(node, "is connected"));
                self.drive_access_point(index, AccessPoint::change_uplink);
            }
            Mend::Connect(node @ Node::Router(index), outage) => {
                let router = &mut self.routers[index];
                router.connected = true;
                router.visit_stability.recover(at, outage * 2);
                router.home_stability.recover(at, outage * 2);
                self.note(None, Note::Befell(node, "is connected"));
            }
        }
    }

    /// A router has stopped or started: what it does not know may differ from what others know.
    fn compare_all(&mut self, index: usize) {
        for client in 0..self.clients.len() {
            if self.clients[client].home == index {
                self.check_binding(client, None);
            }
            self.compare(client, index);
        }
    }
}

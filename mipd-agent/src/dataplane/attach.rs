//! Attaches programs to interfaces so that they stay attached without the agent.
//!
//! XDP and, from Linux 6.6, TC (tcx) are links pinned on the BPF file system: a restarted agent replaces the program in
//! the link without a gap. Below 6.6 TC programs are filters of a `clsact` qdisc with a fixed priority and handle.

use std::{fs, io, path::Path};

use aya::{
    Ebpf,
    programs::{
        ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode,
        links::{FdLink, Link as _, PinnedLink},
        loaded_programs,
        tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle},
        xdp::XdpLink,
    },
    sys::SyscallError,
};

use super::{
    checks,
    error::DataPlaneError,
    journal::{Change, Journal},
    netlink::{Link, Netlink},
    pins::Pins,
    settings::Roles,
};

/// Handle of our filters, where TC is not tcx.
const FILTER_HANDLE: TcHandle = TcHandle::new(0, 1);

/// Priority of our filters, where TC is not tcx. Fixed, so that a later agent finds them.
fn filter_priority(program: &str) -> u16 {
    if program == "uplink_ingress" { 433 } else { 434 }
}

/// Which programs belong on an interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Programs {
    pub xdp: Option<&'static str>,
    pub ingress: Vec<&'static str>,
    pub egress: Vec<&'static str>,
}

impl Programs {
    /// The programs for these roles.
    pub fn of(roles: Roles) -> Self {
        let mut programs = Self { xdp: None, ingress: Vec::new(), egress: Vec::new() };
        if roles.uplink {
            programs.xdp = Some("uplink_xdp");
            programs.ingress.push("uplink_ingress");
        }
        if roles.is_router() {
            programs.xdp = Some("router_xdp");
            programs.ingress.push("router_ingress");
            programs.egress.push("router_egress");
        }
        if roles.radio {
            programs.xdp = Some("radio_xdp");
            programs.ingress.push("radio_ingress");
        }
        programs
    }
}

/// What attaching XDP came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum XdpOutcome {
    Attached,
    /// The driver does not take it; why.
    Refused(String),
}

/// Attaches programs; kept for interfaces that appear later.
pub(super) struct Attacher {
    ebpf: Ebpf,
    pins: Pins,
    tcx: bool,
}

impl Attacher {
    /// For the programs in `ebpf`.
    pub fn new(ebpf: Ebpf, pins: Pins) -> Self {
        Self { ebpf, pins, tcx: checks::kernel_is_at_least(6, 6) }
    }

    /// Uses `clsact` filters although the kernel has tcx.
    #[cfg(test)]
    pub fn without_tcx(mut self) -> Self {
        self.tcx = false;
        self
    }

    /// Attaches an XDP program in the driver.
    pub fn xdp(&mut self, program: &'static str, link: &Link) -> Result<XdpOutcome, DataPlaneError> {
        let pin = self.pins.link(program, &link.name);
        let failed = |action, source| DataPlaneError::Program {
            action,
            program: format!("{program} on {}", link.name),
            source: Box::new(source),
        };
        let xdp: &mut Xdp = loaded(&mut self.ebpf, program)?;
        if pin.exists() {
            if replace(&pin, |old| {
                let id = xdp.attach_to_link(XdpLink::try_from(old)?)?;
                Ok(xdp.take_link(id).map(drop)?)
            }) {
                return Ok(XdpOutcome::Attached);
            }
            fs::remove_file(&pin).map_err(DataPlaneError::file("remove", &pin))?;
        }
        let id = match xdp.attach_to_if_index(link.index, XdpMode::Driver) {
            Ok(id) => id,
            Err(error) if is_busy(&error) => return Err(foreign_xdp(link)),
            Err(error) => return Ok(XdpOutcome::Refused(refusal(&error))),
        };
        let attached = xdp.take_link(id).map_err(|error| failed("attach", error))?;
        let Ok(fd_link) = FdLink::try_from(attached) else {
            return Ok(XdpOutcome::Refused("the kernel has no XDP links (Linux 5.9)".to_owned()));
        };
        fd_link.pin(&pin).map_err(|error| failed("pin", io::Error::other(error).into()))?;
        Ok(XdpOutcome::Attached)
    }

    /// Attaches a TC program.
    pub fn tc(
        &mut self,
        program: &'static str,
        link: &Link,
        direction: TcAttachType,
        netlink: &mut Netlink,
        journal: &mut Journal,
    ) -> Result<(), DataPlaneError> {
        let failed = |action, source| DataPlaneError::Program {
            action,
            program: format!("{program} on {}", link.name),
            source: Box::new(source),
        };
        let pin = self.pins.link(program, &link.name);
        let tcx = self.tcx;
        let tc: &mut SchedClassifier = loaded(&mut self.ebpf, program)?;
        if !tcx {
            return attach_filter(tc, program, link, direction, netlink, journal)?
                .map_err(|error| failed("attach", error));
        }
        if pin.exists() {
            if replace(&pin, |old| {
                let id = tc.attach_to_link(SchedClassifierLink::try_from(old)?)?;
                Ok(tc.take_link(id).map(drop)?)
            }) {
                return Ok(());
            }
            fs::remove_file(&pin).map_err(DataPlaneError::file("remove", &pin))?;
        }
        let id = tc.attach(&link.name, direction).map_err(|error| failed("attach", error))?;
        let attached = tc.take_link(id).map_err(|error| failed("attach", error))?;
        FdLink::try_from(attached)
            .map_err(|error| failed("pin", io::Error::other(error).into()))?
            .pin(&pin)
            .map_err(|error| failed("pin", io::Error::other(error).into()))?;
        Ok(())
    }

    /// Detaches what is attached by pins but no longer wanted.
    pub fn detach_unwanted(&self, wanted: &[(&'static str, String)]) -> Result<(), DataPlaneError> {
        for pinned in self.pins.links()? {
            let keep =
                wanted.iter().any(|(program, interface)| *program == pinned.program && *interface == pinned.interface);
            if !keep {
                fs::remove_file(&pinned.path).map_err(DataPlaneError::file("remove", pinned.path))?;
            }
        }
        Ok(())
    }
}

/// How often loading a program is tried if signals interrupt it.
const MOST_ATTEMPTS: u32 = 5;

/// The program by name, loaded into the kernel.
fn loaded<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, DataPlaneError>
where
    P: LoadOnce,
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let failed =
        |source| DataPlaneError::Program { action: "load", program: name.to_owned(), source: Box::new(source) };
    let program: &mut P =
        ebpf.program_mut(name).ok_or(DataPlaneError::MissingProgram(name))?.try_into().map_err(failed)?;
    let mut attempts = 0;
    loop {
        attempts += 1;
        match program.load_into_kernel() {
            Ok(()) | Err(ProgramError::AlreadyLoaded) => return Ok(program),
            Err(error) if attempts < MOST_ATTEMPTS && is_interrupted(&error) => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

/// The verifier gives up when a signal arrives. They are few.
fn is_interrupted(error: &ProgramError) -> bool {
    matches!(error, ProgramError::LoadError { io_error, .. } if io_error.raw_os_error() == Some(libc::EAGAIN))
}

/// What the two kinds of programs have in common.
trait LoadOnce {
    fn load_into_kernel(&mut self) -> Result<(), ProgramError>;
}

impl LoadOnce for Xdp {
    fn load_into_kernel(&mut self) -> Result<(), ProgramError> {
        self.load()
    }
}

impl LoadOnce for SchedClassifier {
    fn load_into_kernel(&mut self) -> Result<(), ProgramError> {
        self.load()
    }
}

/// Puts the new program into a pinned link; `false` if the link is dead (its interface is gone).
fn replace(pin: &Path, attach: impl FnOnce(FdLink) -> Result<(), ReplaceError>) -> bool {
    match PinnedLink::from_pin(pin).map_err(ReplaceError::from).and_then(|pinned| attach(FdLink::from(pinned))) {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(pin = %pin.display(), %error, "pinned link is not usable, attaching anew");
            false
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum ReplaceError {
    #[error(transparent)]
    Link(#[from] aya::programs::links::LinkError),
    #[error(transparent)]
    Program(#[from] ProgramError),
}

fn attach_filter(
    tc: &mut SchedClassifier,
    program: &'static str,
    link: &Link,
    direction: TcAttachType,
    netlink: &mut Netlink,
    journal: &mut Journal,
) -> Result<Result<(), ProgramError>, DataPlaneError> {
    if netlink.add_clsact(link.index)? {
        journal.record(Change::Clsact { clsact: link.name.clone() })?;
    }
    let egress = matches!(direction, TcAttachType::Egress);
    journal.record(Change::Filter { filter: link.name.clone(), program: program.to_owned(), egress })?;
    let mut attach = || {
        // A filter left by an earlier agent is replaced in place; one that is not there yet is added.
        let existing =
            SchedClassifierLink::attached(&link.name, direction, filter_priority(program), FILTER_HANDLE, None)?;
        let id = match tc.attach_to_link(existing) {
            Ok(id) => id,
            Err(_) => tc.attach_with_options(
                &link.name,
                direction,
                TcAttachOptions::Netlink(NlOptions {
                    priority: filter_priority(program),
                    handle: FILTER_HANDLE,
                    ..NlOptions::default()
                }),
            )?,
        };
        // Dropping the link would detach the filter, which has to outlive us.
        std::mem::forget(tc.take_link(id)?);
        Ok(())
    };
    Ok(attach())
}

/// Removes a filter of ours; one that is gone is fine.
pub(super) fn remove_filter(interface: &str, program: &str, egress: bool) {
    let direction = if egress { TcAttachType::Egress } else { TcAttachType::Ingress };
    if let Ok(link) = SchedClassifierLink::attached(interface, direction, filter_priority(program), FILTER_HANDLE, None)
        && let Err(error) = link.detach()
    {
        tracing::debug!(interface, %error, "filter was already gone");
    }
}

fn is_busy(error: &ProgramError) -> bool {
    matches!(error, ProgramError::SyscallError(SyscallError { io_error, .. })
        if matches!(io_error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST)))
}

fn refusal(error: &ProgramError) -> String {
    match error {
        ProgramError::SyscallError(SyscallError { io_error, .. })
            if io_error.raw_os_error() == Some(libc::EOPNOTSUPP) =>
        {
            "the driver has no native XDP".to_owned()
        }
        ProgramError::SyscallError(SyscallError { io_error, .. }) => format!("the driver refused XDP: {io_error}"),
        other => format!("the driver refused XDP: {other}"),
    }
}

/// The error that names somebody else's XDP program.
pub(super) fn foreign_xdp(link: &Link) -> DataPlaneError {
    let id = link.xdp_program.unwrap_or_default();
    let program = loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned))
        .unwrap_or_else(|| "unnamed".to_owned());
    DataPlaneError::ForeignXdp { interface: link.name.clone(), id, program }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use aya::programs::TcAttachType;
    use nix::{
        mount::{MsFlags, mount},
        sched::{CloneFlags, unshare},
    };

    use super::{Attacher, remove_filter};
    use crate::dataplane::{
        home_subnets::Layout,
        journal::{Change, Journal},
        load::{Sizes, load},
        netlink::Netlink,
        pins::Pins,
        settings::Settings,
    };

    /// As on kernels before 6.6. In namespaces that end with the thread.
    #[test]
    fn a_filter_outlives_its_attacher_is_replaced_in_place_and_can_be_removed() {
        let test = || {
            let directory = tempfile::tempdir().unwrap();
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("needs root");
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
            let settings = Settings {
                bpffs_dir: directory.path().join("bpf"),
                state_dir: directory.path().join("state"),
                interfaces: Vec::new(),
                home: None,
                visit: None,
                access_point: None,
            };
            let mut netlink = Netlink::open().unwrap();
            let mut journal = Journal::open(&settings.state_dir).unwrap();
            let pins = Pins::new(&settings.bpffs_dir);
            pins.create(&mut journal).unwrap();
            let link = netlink.links().unwrap().remove(0);
            let mut programs = Vec::new();
            for _ in 0..2 {
                let layout = Layout::default();
                let sizes = Sizes::new(&settings, &layout, 1, 2);
                let (ebpf, _) = load(&pins, &sizes, &layout).unwrap();
                let mut attacher = Attacher::new(ebpf, pins.clone()).without_tcx();
                attacher.tc("router_ingress", &link, TcAttachType::Ingress, &mut netlink, &mut journal).unwrap();
                drop(attacher);
                programs.push(netlink.filters(link.index).unwrap());
            }
            assert_eq!(programs[0].len(), 1);
            assert_eq!(programs[1].len(), 1);
            assert_eq!(programs[1][0].name, "router_ingress");
            assert_ne!(programs[0], programs[1], "the second attacher's program is in place");
            assert!(journal.changes().contains(&Change::Clsact { clsact: link.name.clone() }));
            remove_filter(&link.name, "router_ingress", false);
            assert_eq!(netlink.filters(link.index).unwrap(), []);
            netlink.delete_clsact(link.index).unwrap();
            assert_eq!(pins.links().unwrap(), []);
        };
        if let Err(panic) = thread::spawn(test).join() {
            std::panic::resume_unwind(panic);
        }
    }
}

//! Ordinary clients: their addresses come from the DHCP server of their home network, and they keep them wherever they go,
//! although each visited network has a server of its own that refuses addresses of others.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mipd_lab::Carrier;
use mipd_lab::agent::Agent;
use mipd_lab::agent::config::{FastPath, Role, Settings};
use mipd_lab::deployment::{Deployment, Place};
use mipd_lab::dhcp::{Client, Server};
use mipd_lab::topology::CORRESPONDENT;
use mipd_lab::traffic::ping::reach;

const PATIENCE: Duration = Duration::from_secs(30);
const CLIENT_MAC: &str = "02:c1:1e:00:00:64";
/// Renews soon, and by unicast to the server that it has its lease from.
const RENEWS: &str = "supersede dhcp-renewal-time 3;\nsupersede dhcp-rebinding-time 300;\n";
/// Its server is gone, so it soon asks any.
const REBINDS: &str = "supersede dhcp-renewal-time 2;\nsupersede dhcp-rebinding-time 4;\n\
                       supersede dhcp-server-identifier 10.1.0.250;\n";

/// A campus with a server at home and one in the first visited network, and a client that has a lease at home.
struct Scene {
    home: Option<Server>,
    visited: Server,
    client: Client,
    address: Ipv4Addr,
    campus: Deployment,
}

impl Scene {
    /// `elsewhere`: the home network's server is not its router, but another box.
    fn build(label: &str, settings: &Settings, elsewhere: bool) -> Result<Self> {
        let mut campus = Deployment::build(label, settings)?;
        let lab = &campus.campus.lab;
        if elsewhere {
            let role = Role::AccessPoint { subnet_map: vec![campus.campus.ha.lans[0].gateway] };
            let settings = Settings { dhcp_server: Some(Ipv4Addr::new(10, 1, 0, 20)), ..settings.clone() };
            campus.agents.ap1.reconfigure(lab, &role, &settings)?;
        }
        campus.agents.start()?;
        let net = &campus.campus;
        let (home, visited) = (net.ha.lans[0].gateway, net.fa1.lans[0].gateway);
        let home = Server::start(lab, if elsewhere { &net.home_host } else { &net.ha.host }, home)?;
        let visited = Server::start(lab, &net.visited1_host, visited)?;
        let mut client = Client::new(lab, &net.client.host)?;
        client.power_off()?;
        client.start(lab, "")?;
        let address = client.await_entry(0, "BOUND", PATIENCE)?;
        let scene = Self { home: Some(home), visited, client, address, campus };
        scene.ensure_online("at home")?;
        ensure!(address.octets()[..3] == [10, 1, 0], "at home the client has got {address}");
        Ok(scene)
    }

    fn ap1(&self) -> &Agent {
        self.campus.access_point(Place::Visited1Ap1)
    }

    fn home_log(&self) -> Result<&Server> {
        self.home.as_ref().context("the home server does not run")
    }

    /// Restarts the client at the first visited access point, as after a night in a bag.
    fn wake_up_away(&mut self, settings: &str) -> Result<usize> {
        self.client.power_off()?;
        self.campus.campus.client.roam(self.campus.air(Place::Visited1Ap1), Carrier::Lost)?;
        let before = self.client.diary()?.len();
        self.client.start(&self.campus.campus.lab, settings)?;
        Ok(before)
    }

    fn ensure_online(&self, when: &str) -> Result<()> {
        let client = self.campus.campus.client.host.namespace();
        let reached = reach(client, CORRESPONDENT, PATIENCE)?;
        reached
            .map(drop)
            .with_context(|| format!("{when}, the client does not reach the correspondent:\n{}", self.ap1().log_tail()))
    }

    fn ensure_registered(&self) -> Result<()> {
        let row = mipd_lab::wait::until(PATIENCE, || {
            let clients = self.ap1().rows_of("clients", self.address)?;
            Ok(clients.into_iter().find(|row| row["state"] == "registered"))
        })?;
        row.map(drop).with_context(|| format!("{} is not registered:\n{}", self.address, self.ap1().log_tail()))
    }

    fn await_end_of_registration(&self) -> Result<()> {
        let ended = mipd_lab::wait::until(PATIENCE, || {
            let rows = [
                self.campus.agents.ha.rows_of("bindings", self.address)?,
                self.ap1().rows_of("clients", self.address)?,
            ];
            Ok(rows.iter().all(Vec::is_empty).then_some(()))
        })?;
        ended.with_context(|| format!("{} is still registered:\n{}", self.address, self.ap1().log_tail()))
    }

    /// The visited server has never heard of the client.
    fn ensure_unheard(&self) -> Result<()> {
        let log = self.visited.log()?;
        ensure!(!log.contains(CLIENT_MAC), "the visited network's server has heard of the client:\n{log}");
        Ok(())
    }
}

fn with_scene(
    label: &str,
    settings: &Settings,
    elsewhere: bool,
    story: impl FnOnce(&mut Scene) -> Result<()>,
) -> Result<()> {
    if !mipd_lab::available() || !mipd_lab::dhcp::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    story(&mut Scene::build(label, settings, elsewhere)?)
}

/// INIT-REBOOT, RENEWING, REBINDING, with captures of the visited LAN and of what the client hears.
fn keeps_its_address(label: &str, settings: &Settings, elsewhere: bool) -> Result<()> {
    with_scene(label, settings, elsewhere, |scene| {
        let directory = scene.campus.campus.lab.directory().join("pcap");
        scene.campus.capture(&["lan2", "air-ap1"], &directory)?;
        let address = scene.address;
        let before = scene.wake_up_away(RENEWS)?;
        ensure!(scene.client.await_entry(before, "REBOOT", PATIENCE)? == address, "another address after the reboot");
        scene.ensure_registered()?;
        scene.ensure_online("after its reboot")?;
        ensure!(scene.client.await_entry(before, "RENEW", PATIENCE)? == address, "another address after the renewal");

        let before = scene.wake_up_away(REBINDS)?;
        ensure!(scene.client.await_entry(before, "REBOOT", PATIENCE)? == address, "another address after a reboot");
        // dhclient calls it so after a rebinding, too; the capture of the air tells.
        ensure!(scene.client.await_entry(before, "RENEW", PATIENCE)? == address, "another address after the rebinding");
        scene.ensure_online("after its rebinding")?;
        scene.ensure_unheard()?;

        let files = scene.campus.stop_captures()?;
        let count = |wire: &str, filter: &str| files.get(wire).context("no capture")?.count(filter);
        let rebinding = format!("dhcp && eth.src == {CLIENT_MAC} && ip.src == {address} && ip.dst == 255.255.255.255");
        ensure!(count("air-ap1", &rebinding)? > 0, "the client has not rebound its lease");
        let of_the_client = format!("dhcp && eth.src == {CLIENT_MAC} && ip.dst != 10.1.0.250");
        let direct = if elsewhere { " && ip.dst != 10.1.0.20" } else { "" };
        let leaked = count("lan2", &format!("{of_the_client}{direct}"))?;
        ensure!(leaked == 0, "{leaked} DHCP messages of the client on the visited LAN");
        ensure!(count("lan2", "dhcp && eth.dst == ff:ff:ff:ff:ff:ff")? == 0, "DHCP broadcasts on the visited LAN");
        ensure!(count("air-ap1", "dhcp.option.dhcp == 6")? == 0, "somebody has refused the client its address");
        let relayed = "dhcp.type == 1 && ip.src == 10.2.0.11 && dhcp.ip.relay == 10.2.0.11 && dhcp.option.type == 82";
        ensure!(count("lan2", relayed)? >= 3, "too little was relayed");
        for filter in ["_ws.malformed", "icmp.type == 3 && icmp.code == 3"] {
            ensure!(count("lan2", filter)? == 0, "{filter} on the visited LAN");
        }
        Ok(())
    })
}

#[test]
fn a_client_keeps_its_address_in_every_state_of_its_lease() -> Result<()> {
    keeps_its_address("dhcp", &Settings::new(FastPath::Auto), false)
}

#[test]
fn so_it_does_with_a_reverse_tunnel_and_a_server_beside_its_home_agent() -> Result<()> {
    keeps_its_address("dhcprt", &Settings { reverse_tunnel: true, ..Settings::new(FastPath::Tc) }, true)
}

#[test]
fn a_client_that_gives_its_lease_back_is_registered_no_longer() -> Result<()> {
    with_scene("dhcprel", &Settings::new(FastPath::Auto), false, |scene| {
        let before = scene.wake_up_away("")?;
        scene.client.await_entry(before, "REBOOT", PATIENCE)?;
        scene.ensure_registered()?;
        scene.client.release()?;
        scene.home_log()?.await_log("DHCPRELEASE", PATIENCE)?;
        scene.await_end_of_registration()?;
        scene.ensure_unheard()
    })
}

#[test]
fn a_registered_client_that_takes_a_local_lease_becomes_local() -> Result<()> {
    with_scene("dhcploc", &Settings::new(FastPath::Auto), false, |scene| {
        let before = scene.wake_up_away("")?;
        scene.client.await_entry(before, "REBOOT", PATIENCE)?;
        scene.ensure_registered()?;
        scene.client.forget()?;
        let before = scene.wake_up_away("")?;
        let local = scene.client.await_entry(before, "BOUND", PATIENCE)?;
        ensure!(local.octets()[..3] == [10, 2, 0], "the visited network has given {local}");
        scene.ensure_online("with a local address")?;
        scene.await_end_of_registration()
    })
}

#[test]
fn without_its_server_a_client_is_refused_by_nobody_and_gets_its_address_when_that_is_back() -> Result<()> {
    with_scene("dhcpout", &Settings::new(FastPath::Auto), false, |scene| {
        scene.home.take().context("no server")?.stop()?;
        let before = scene.wake_up_away("")?;
        scene.ap1().await_count("dhcp_unanswered", 0, PATIENCE)?;
        let (lab, net) = (&scene.campus.campus.lab, &scene.campus.campus.ha);
        scene.home = Some(Server::start(lab, &net.host, net.lans[0].gateway)?);
        ensure!(scene.client.await_entry(before, "REBOOT", PATIENCE)? == scene.address, "another address");
        scene.ensure_online("with its server back")?;
        scene.ensure_unheard()
    })
}

#[test]
fn a_client_of_a_network_that_nobody_knows_is_the_local_servers_business() -> Result<()> {
    let settings = Settings { clients: "10.7.0.0/24".to_owned(), ..Settings::new(FastPath::Auto) };
    with_scene("dhcpstr", &settings, false, |scene| {
        let began = Instant::now();
        let before = scene.wake_up_away("")?;
        let local = scene.client.await_entry(before, "BOUND", PATIENCE)?;
        ensure!(local.octets()[..3] == [10, 2, 0], "the visited network has given {local}");
        ensure!(began.elapsed() < Duration::from_secs(15), "not refused at once: {:?}", began.elapsed());
        scene.visited.await_log("DHCPNAK", PATIENCE)
    })
}

#[test]
fn udhcpc_renews_its_lease_wherever_it_is() -> Result<()> {
    with_scene("udhcpc", &Settings::new(FastPath::Auto), false, |scene| {
        scene.client.power_off()?;
        let before = scene.client.diary()?.len();
        scene.client.start_udhcpc(&scene.campus.campus.lab)?;
        let address = scene.client.await_entry(before, "bound", PATIENCE)?;
        scene.address = address;
        scene.ensure_online("at home")?;
        scene.campus.campus.client.roam(scene.campus.air(Place::Visited1Ap1), Carrier::Kept)?;
        scene.client.renew_udhcpc()?;
        ensure!(scene.client.await_entry(before, "renew", PATIENCE)? == address, "another address after the renewal");
        scene.ensure_registered()?;
        scene.ensure_online("after the renewal")?;
        scene.ensure_unheard()
    })
}

//! Requests against the agents' policy on reverse tunnels (RFC 3024): 74 and 137, 75 and 138.

use anyhow::Result;
use mipd_lab::agent::config::Settings;

use super::messages::{flagged, sign};
use super::scene::{Case, Fate, Scene};

const REVERSE_TUNNEL: u8 = 0x02;

#[test]
fn a_reverse_tunnel_that_is_off_is_refused_with_74_and_137() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let settings = Settings { routers_reverse_tunnel: "off".to_owned(), ..Scene::settings() };
    let scene = Scene::set("hostrtoff", settings)?;
    let wanted = || sign(&flagged(REVERSE_TUNNEL), &scene.settings);
    scene.judge_foreign_agent(&[Case::new("a reverse tunnel that is off", wanted()?, Fate::Code(74))])?;
    scene.judge_home_agent(&[Case::new("a reverse tunnel that is off", wanted()?, Fate::Code(137))])
}

#[test]
fn a_reverse_tunnel_that_is_required_and_not_asked_for_is_refused_with_75_and_138() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let settings =
        Settings { reverse_tunnel: true, routers_reverse_tunnel: "required".to_owned(), ..Scene::settings() };
    let scene = Scene::set("hostrtreq", settings)?;
    let unwanted = || sign(&flagged(0), &scene.settings);
    scene.judge_foreign_agent(&[Case::new("no reverse tunnel, though required", unwanted()?, Fate::Code(75))])?;
    scene.judge_home_agent(&[Case::new("no reverse tunnel, though required", unwanted()?, Fate::Code(138))])
}

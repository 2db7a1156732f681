//! What requests say besides.

use super::*;
use crate::wire::{
    nai::Nai,
    proxy_mode::{self, AccessTechnology},
};

fn named() -> Config {
    let names = [("10.1.0.0/24".parse().unwrap(), "{address}@campus.example".parse().unwrap())];
    Config { names: Arc::new(names.into_iter().collect()), ..config() }
}

#[test]
fn the_client_is_named_and_described_before_the_authentication() {
    let mut scene = Scene::with(Config { proxy_extensions: Some(AccessTechnology::WirelessLan), ..named() });
    scene.visit();
    let message = last_message(&scene);
    assert_eq!(extension_kinds(&message), [131, 147, 147, 32]);
    let (_, extensions) = RegistrationRequest::parse(&message).unwrap();
    assert_eq!(Nai::find(&extensions), Nai::new("10.1.0.100@campus.example"));
    assert_eq!(proxy_mode::find_device(&extensions), Some(CLIENT));
    assert_eq!(AccessTechnology::find(&extensions), Some(AccessTechnology::WirelessLan));
    assert_eq!(scene.status().nai, Nai::new("10.1.0.100@campus.example"));
}

#[test]
fn a_client_outside_the_named_ranges_has_no_name() {
    let mut scene = Scene::with(named());
    scene.come_home();
    assert_eq!(extension_kinds(&last_message(&scene)), [32]);
    assert_eq!(scene.status().nai, None);
}

#[test]
fn everything_at_once_is_in_the_order_of_the_rfcs() {
    let aaa = [("10.1.0.0/24".parse().unwrap(), association(500))];
    let mut scene = Scene::with(with_foreign_key(Config {
        proxy_extensions: Some(AccessTechnology::WirelessLan),
        mobile_aaa: Arc::new(MobileHomeAssociations::new(aaa).unwrap()),
        delivery: crate::mobility::tunnel::Delivery::Encapsulating,
        ..named()
    }));
    scene.agent(Some(ForeignAgentInfo { challenge: Some(vec![1; 8]), ..tunnelling_agent() }));
    scene.visit();
    assert_eq!(extension_kinds(&last_message(&scene)), [131, 147, 147, 32, 132, 130, 33]);
}

#[test]
fn the_algorithm_of_the_home_agents_reply_is_shown_and_counted_if_it_is_another() {
    let any = SecurityAssociation { accept_any_algorithm: true, ..association(SPI) };
    let entries = [("10.1.0.0/24".parse().unwrap(), any)];
    let mut scene =
        Scene::with(Config { associations: Arc::new(MobileHomeAssociations::new(entries).unwrap()), ..config() });
    scene.visit();
    let mut payload = plain(&scene.reply(ReplyCode::ACCEPTED));
    association(SPI).sign_with(Algorithm::Md5PrefixSuffix, &mut payload, kind::MOBILE_HOME_AUTHENTICATION);
    scene.deliver(&payload);
    assert_eq!(scene.status().algorithm, Some(Algorithm::Md5PrefixSuffix));
    assert_eq!(scene.counters().other_algorithm, 1);
    assert_eq!(scene.state(), "registered");
}

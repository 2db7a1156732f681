//! The names of the kernel programs for routers and access points: their entry points in the object.

/// Those that are attached by XDP.
pub const XDP_PROGRAMS: [&str; 3] = ["router_xdp", "radio_xdp", "uplink_xdp"];

/// Those that are attached by TC.
pub const TC_PROGRAMS: [&str; 7] = [
    "router_ingress",
    "router_egress",
    "home_tun_egress",
    "visit_tun_egress",
    "radio_ingress",
    "punt_ingress",
    "uplink_ingress",
];

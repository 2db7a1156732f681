//! Security associations, authenticator checks and replay protection (RFC 5944 §5).
//!
//! * [`association`]: what two parties share;
//! * [`address_range`], [`mobile_home`]: associations of clients with their home agent, by address range;
//! * [`peer`]: associations among agents, and of clients with foreign agents;
//! * [`radius`]: associations downloaded from a server;
//! * [`verification`]: checks "exactly one valid authentication extension";
//! * [`replay`], [`nonces`]: the two styles of the Identification field;
//! * [`violation`]: what the operator gets to see of attacks and misconfigured keys.

pub mod address_range;
pub mod association;
pub mod mobile_home;
pub mod nonces;
pub mod peer;
pub mod radius;
pub mod replay;
pub mod verification;
pub mod violation;

pub use address_range::AddressRange;
pub use association::{AssociationError, ReplayProtection, SecurityAssociation};
pub use mobile_home::MobileHomeAssociations;
pub use nonces::{Nonce, Nonces, RecordedNonces};
pub use peer::{Peer, PeerAssociations};
pub use replay::{Mismatch, ReplayWindow};
pub use verification::{Verification, verify, verify_generalized};
pub use violation::{Violation, ViolationLog, ViolationReason};

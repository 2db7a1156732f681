//! Text that others write: requests on the control socket, and what lies in the state directory.

#[cfg(feature = "daemon")]
use mipd_agent::control::protocol::Request;
use mipd_agent::mobility::{foreign_agent::VisitorRecord, home_agent::BindingRecord, proxy::ClientRecord};

/// One JSON text, read as each of them.
pub fn check(data: &[u8]) {
    #[cfg(feature = "daemon")]
    if let Ok(request) = serde_json::from_slice::<Request>(data) {
        let written = serde_json::to_vec(&request).expect("a request can be written");
        assert_eq!(serde_json::from_slice::<Request>(&written).expect("and read"), request);
    }
    if let Ok(record) = serde_json::from_slice::<BindingRecord>(data) {
        assert!(serde_json::to_vec(&record).is_ok());
    }
    if let Ok(record) = serde_json::from_slice::<VisitorRecord>(data) {
        assert!(serde_json::to_vec(&record).is_ok());
    }
    if let Ok(record) = serde_json::from_slice::<ClientRecord>(data) {
        assert!(serde_json::to_vec(&record).is_ok());
    }
}

/// Each request.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        r#"{"command":"show","what":"bindings"}"#,
        r#"{"command":"deregister","address":"10.1.0.5"}"#,
        r#"{"command":"pause"}"#,
        r#"{"command":"resume"}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

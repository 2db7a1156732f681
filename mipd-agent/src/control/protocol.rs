//! Requests and responses, as JSON objects of one line each.

use std::{fmt, net::Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::{
    report::Report,
    trace::{Subject, TraceStep},
};

/// What a client asks of the agent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// One table.
    Show {
        /// Which.
        what: What,
    },
    /// What happened to a client.
    Trace {
        /// Which.
        client: Subject,
    },
    /// End the registration of a home address, wherever it is kept on this box.
    Deregister {
        /// The home address.
        address: Ipv4Addr,
    },
    /// Serve no further clients; those served stay so (access point).
    Pause,
    /// Undo [`Request::Pause`].
    Resume,
    /// Forget the subnet map, the static entries excepted (access point).
    ClearSubnetMap,
}

macro_rules! tables {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal;)+) => {
        /// The tables of `mipd show`.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
        #[serde(rename_all = "kebab-case")]
        pub enum What {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl What {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its name on the command line and in JSON.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

tables! {
    /// Clients away from home, by the home agent
    Bindings = "bindings";
    /// Clients visiting, by the foreign agent
    Visitors = "visitors";
    /// Stations of the access point
    Clients = "clients";
    /// Agents heard by the access point
    Agents = "agents";
    /// Home agents by subnet, as the access point knows them
    SubnetMap = "subnet-map";
    /// Access points that exchange the subnet map with this one
    AccessPoints = "access-points";
    /// Tunnels and where they leave
    Tunnels = "tunnels";
    /// Interfaces and their fast path
    Interfaces = "interfaces";
    /// Everything that was counted
    Counters = "counters";
    /// Security associations (without keys)
    Associations = "associations";
    /// The latest messages that failed authentication or replay protection
    Violations = "violations";
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the agent answers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Response {
    /// The table asked for.
    Report(Report),
    /// The story asked for, in order of time.
    Trace {
        /// At least one.
        steps: Vec<TraceStep>,
    },
    /// It was done.
    Done {
        /// What exactly, for people.
        message: String,
    },
    /// It was not done.
    Refused {
        /// Why, and what to do.
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn requests_have_their_documented_form() {
        let cases = [
            (Request::Show { what: What::Bindings }, r#"{"command":"show","what":"bindings"}"#),
            (
                Request::Deregister { address: Ipv4Addr::new(10, 1, 0, 5) },
                r#"{"command":"deregister","address":"10.1.0.5"}"#,
            ),
            (
                Request::Trace { client: Subject::Address(Ipv4Addr::new(10, 1, 0, 5)) },
                r#"{"command":"trace","client":"10.1.0.5"}"#,
            ),
            (
                Request::Trace { client: "02:00:00:00:00:05".parse().unwrap() },
                r#"{"command":"trace","client":"02:00:00:00:00:05"}"#,
            ),
            (Request::Pause, r#"{"command":"pause"}"#),
            (Request::Resume, r#"{"command":"resume"}"#),
            (Request::ClearSubnetMap, r#"{"command":"clear_subnet_map"}"#),
        ];
        for (request, text) in cases {
            assert_eq!(json(&request), text);
            assert_eq!(serde_json::from_str::<Request>(text).unwrap(), request);
        }
    }

    #[test]
    fn responses_have_their_documented_form() {
        let cases = [
            (Response::Report(Report::Bindings(Vec::new())), r#"{"status":"report","what":"bindings","rows":[]}"#),
            (Response::Trace { steps: Vec::new() }, r#"{"status":"trace","steps":[]}"#),
            (Response::Done { message: "paused".into() }, r#"{"status":"done","message":"paused"}"#),
            (Response::Refused { message: "no".into() }, r#"{"status":"refused","message":"no"}"#),
        ];
        for (response, text) in cases {
            assert_eq!(json(&response), text);
            assert_eq!(serde_json::from_str::<Response>(text).unwrap(), response);
        }
    }

    #[test]
    fn what_is_not_a_request_is_refused() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"command":"halt"}"#,
            r#"{"command":"show"}"#,
            r#"{"command":"show","what":"keys"}"#,
            r#"{"command":"trace","client":"her"}"#,
        ] {
            assert!(serde_json::from_str::<Request>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_table_has_one_name_for_json_and_command_line() {
        use clap::ValueEnum as _;
        for what in What::ALL {
            assert_eq!(json(what), format!("\"{what}\""));
            assert_eq!(what.to_possible_value().unwrap().get_name(), what.name());
        }
    }
}

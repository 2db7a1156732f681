//! Whole command lines: output, one-line errors, exit codes.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Mutex, mpsc},
    thread::{self, JoinHandle},
};

use tempfile::TempDir;
use tokio::sync::oneshot;

use super::{Backend, Failure, Finding, execute};
use crate::{
    config::{Config, Locations},
    control::{
        Report, Request, Response, Server, What,
        report::{Counter, Interface},
        trace::TraceStep,
    },
};

const CONFIG: &str = r#"
[agent]
control-socket = "@DIR@/mipd.sock"
bpffs-dir = "@DIR@/bpf"
core-interfaces = ["core0"]

[[interface]]
name = "lan0"
fast-path = "tc"

[[security-association]]
clients = "10.1.0.0/24"
spi = 256
key = "hex:000102030405060708090a0b0c0d0e0f"

[home-agent]
address = "10.1.0.1"
subnets = [{ prefix = "10.1.0.0/24", interface = "lan0" }]

[foreign-agent]
interfaces = ["lan0"]
care-of-address = "10.1.0.1"
"#;

const ACCESS_POINT: &str = r#"
[[security-association]]
clients = "10.1.0.0/23"
spi = 256
key = "hex:000102030405060708090a0b0c0d0e0f"

[access-point]
uplink = "eth0"
bridge = "br-lan"
radios = [{ interface = "wlan0", ssid = "campus" }, { interface = "wlan1", proxy-mobile-ip = false }]
subnet-map = [{ home-agent = "10.1.0.1", mask = "255.255.255.0" }]
registration-port = 5434
"#;

/// Records what it is asked, and answers with what a test put there.
#[derive(Default)]
struct Recorder {
    report: Option<Report>,
    calls: Mutex<Vec<String>>,
}

impl Recorder {
    fn called(&self, call: impl Into<String>) {
        self.calls.lock().unwrap().push(call.into());
    }
}

impl Backend for Recorder {
    fn run(&self, config: Config) -> Result<(), Failure> {
        self.called(format!("run with {}", config.agent.bpffs_dir.display()));
        Ok(())
    }

    fn load(&self, _: &Config, interfaces: &[String]) -> Result<Vec<Interface>, Failure> {
        self.called(format!("load on {interfaces:?}"));
        Ok(Vec::new())
    }

    fn unload(&self, locations: &Locations) -> Result<(), Failure> {
        self.called(format!("unload {}", locations.bpffs_dir.display()));
        Ok(())
    }

    fn inspect(&self, bpffs_dir: &Path, what: What) -> Result<Report, Failure> {
        self.called(format!("inspect {} for {what}", bpffs_dir.display()));
        self.report.clone().ok_or_else(|| "no maps are pinned there: start mipd first".into())
    }

    fn check(&self, _: &Config) -> Vec<Finding> {
        Vec::new()
    }
}

struct Outcome {
    code: ExitCode,
    output: String,
    errors: String,
}

impl Outcome {
    #[track_caller]
    fn exited(&self, code: u8) -> &Self {
        assert_eq!(self.code, ExitCode::from(code), "output: {}\nerrors: {}", self.output, self.errors);
        self
    }
}

fn mipd(backend: &dyn Backend, arguments: &[&str]) -> Outcome {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let code = execute(["mipd"].iter().chain(arguments), backend, &mut output, &mut errors);
    let outcome =
        Outcome { code, output: String::from_utf8(output).unwrap(), errors: String::from_utf8(errors).unwrap() };
    if !outcome.errors.is_empty() && outcome.code != ExitCode::SUCCESS {
        assert!(!outcome.errors.trim_end().contains('\n') || arguments.is_empty(), "one line: {}", outcome.errors);
    }
    outcome
}

fn written(text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mipd.toml");
    fs::write(&file, text.replace("@DIR@", directory.path().to_str().unwrap())).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    (directory, file)
}

/// An agent that gives everybody the same answer, until it is stopped.
struct Agent {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Vec<Request>>,
}

impl Agent {
    fn start(socket: &Path, response: Response) -> Self {
        let socket = socket.to_owned();
        let (stop, mut stopped) = oneshot::channel();
        let (ready, listening) = mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut server = Server::bind(&socket).unwrap();
                ready.send(()).unwrap();
                let mut requests = Vec::new();
                loop {
                    tokio::select! {
                        _ = &mut stopped => return requests,
                        (request, responder) = server.next_request() => {
                            requests.push(request);
                            responder.send(response.clone());
                        }
                    }
                }
            })
        });
        listening.recv().unwrap();
        Self { stop, thread }
    }

    /// Stops it and returns what it was asked.
    fn stop(self) -> Vec<Request> {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap()
    }
}

#[test]
fn help_names_every_command() {
    let help = mipd(&Recorder::default(), &["--help"]);
    help.exited(0);
    for command in ["run", "check", "show", "trace", "deregister", "pause", "resume", "unload"] {
        assert!(help.output.contains(&format!("\n  {command} ")), "{command} in {}", help.output);
    }
    assert_eq!(mipd(&Recorder::default(), &[]).exited(2).output, "");
}

#[test]
fn misuse_is_one_line_and_exit_code_2() {
    let cases: [(&[&str], &str); 7] = [
        (
            &["shw"],
            "mipd: unrecognized subcommand 'shw'; tip: a similar subcommand exists: 'show'; see `mipd --help`\n",
        ),
        (
            &["show", "binding"],
            "mipd: invalid value 'binding' for '<TABLE>'; [possible values: bindings, visitors, clients, agents, subnet-map, access-points, tunnels, \
             interfaces, counters, associations, violations]; tip: a similar value exists: 'bindings'; see `mipd --help`\n",
        ),
        (
            &["trace", "her"],
            "mipd: invalid value 'her' for '<MAC|ADDRESS>': \"her\" is neither an Ethernet address (02:00:00:00:00:05) \
             nor an IPv4 address; see `mipd --help`\n",
        ),
        (&["deregister"], "mipd: the following required arguments were not provided: <ADDRESS>; see `mipd --help`\n"),
        (
            &["deregister", "10.1"],
            "mipd: invalid value '10.1' for '<ADDRESS>': invalid IPv4 address syntax; see `mipd --help`\n",
        ),
        (
            &["show", "bindings", "--maps", "--socket", "/s"],
            "mipd: the argument '--maps' cannot be used with '--socket <PATH>'; see `mipd --help`\n",
        ),
        (&["run", "--loud"], "mipd: unexpected argument '--loud' found; see `mipd --help`\n"),
    ];
    for (arguments, expected) in cases {
        let outcome = mipd(&Recorder::default(), arguments);
        assert_eq!(outcome.exited(2).errors, expected);
        assert_eq!(outcome.output, "");
    }
}

#[test]
fn a_mistake_in_the_configuration_is_one_line_and_exit_code_1() {
    let (_directory, file) = written(&CONFIG.replace("spi = 256", "spi = 5"));
    for command in ["run", "check"] {
        let outcome = mipd(&Recorder::default(), &[command, "--config", file.to_str().unwrap()]);
        let expected = format!(
            "mipd: {}:13: spi 5 cannot be used: write a number from 256 to 4294967295 (0 to 255 are reserved)\n",
            file.display()
        );
        assert_eq!(outcome.exited(1).errors, expected);
    }
}

#[test]
fn without_an_agent_show_names_both_ways_out() {
    let (directory, file) = written(CONFIG);
    let outcome = mipd(&Recorder::default(), &["show", "bindings", "--config", file.to_str().unwrap()]);
    let expected = format!(
        "mipd: no agent is listening on {}/mipd.sock: start it with `mipd run`, or use --maps\n",
        directory.path().display()
    );
    assert_eq!(outcome.exited(1).errors, expected);
}

#[test]
fn maps_are_read_where_the_configuration_or_the_option_says() {
    let (directory, file) = written(&CONFIG.replace("spi = 256", "spi = 5"));
    let backend = Recorder { report: Some(Report::empty(What::Tunnels)), ..Recorder::default() };
    let file = file.to_str().unwrap();
    assert_eq!(mipd(&backend, &["show", "tunnels", "--maps", "--json", "--config", file]).exited(0).output, "[]\n");
    mipd(&backend, &["show", "tunnels", "--maps", "--bpffs-dir", "/sys/fs/bpf/x"]).exited(0);
    assert_eq!(
        *backend.calls.lock().unwrap(),
        [format!("inspect {}/bpf for tunnels", directory.path().display()), "inspect /sys/fs/bpf/x for tunnels".into()]
    );
    let refused = mipd(&Recorder::default(), &["show", "tunnels", "--maps", "--config", file]);
    assert_eq!(refused.exited(1).errors, "mipd: no maps are pinned there: start mipd first\n");
}

#[test]
fn unload_takes_the_paths_from_a_file_that_has_a_mistake_elsewhere() {
    let (directory, file) = written(&CONFIG.replace("spi = 256", "spi = 5"));
    let backend = Recorder::default();
    let outcome = mipd(&backend, &["unload", "--config", file.to_str().unwrap()]);
    let pins = format!("{}/bpf", directory.path().display());
    assert_eq!(outcome.exited(0).output, format!("nothing of the instance pinned below {pins} is left on this box\n"));
    assert_eq!(*backend.calls.lock().unwrap(), [format!("unload {pins}")]);
}

#[test]
fn unload_forgets_what_is_remembered_if_told_so_but_no_keys() {
    let (directory, file) = written(&CONFIG.replace("[agent]\n", "[agent]\nstate-dir = \"@DIR@/state\"\n"));
    let state = directory.path().join("state");
    fs::create_dir_all(&state).unwrap();
    for name in ["state.redb", "accepted", "campus.key"] {
        fs::write(state.join(name), "x").unwrap();
    }
    let left = || {
        let names = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    let unload = |more: &[&str]| {
        let words = [&["unload", "--config", file.to_str().unwrap()], more].concat();
        mipd(&Recorder::default(), &words).exited(0).output.clone()
    };
    unload(&[]);
    assert_eq!(left(), ["accepted", "campus.key", "state.redb"]);
    let said = unload(&["--forget"]);
    assert!(said.ends_with(&format!("what was remembered in {} is forgotten\n", state.display())), "{said}");
    assert_eq!(left(), ["accepted", "campus.key"]);
    unload(&["--forget"]);
}

#[test]
fn offline_check_explains_whom_a_home_agent_lets_in_besides_its_clients() {
    let home_agent = "[home-agent]\nallowed-proxies = [\"10.2.0.0/24\", \"10.3.0.5\"]\nanswer-broadcast-probes = false\n\
                      answer-unicast-probes = true\nmss-clamp = false\nidentities = [{ nai = \"a@b\", home-address = \"10.1.0.9\" }]\n";
    let (_directory, file) = written(&CONFIG.replace("[home-agent]\n", home_agent));
    let outcome = mipd(&Recorder::default(), &["check", "--offline", "--config", file.to_str().unwrap()]);
    let outcome = outcome.exited(0);
    for line in [
        "  lets proxies in 10.2.0.0/24, 10.3.0.5 register clients by their own key\n",
        "  knows the home addresses of 1 clients by their names\n",
        "  is not found by requests to a broadcast address\n",
        "  tells strangers that ask its own address, too, that it is a home agent\n",
        "  leaves TCP to find out by ICMP how large a packet the tunnels take\n",
    ] {
        assert!(outcome.output.contains(line), "{line}: {}", outcome.output);
    }
}

#[test]
fn offline_check_explains_a_router() {
    let (directory, file) = written(CONFIG);
    let outcome = mipd(&Recorder::default(), &["check", "--offline", "--config", file.to_str().unwrap()]);
    let expected = format!(
        "\
{file} is valid.

Home agent 10.1.0.1
  home subnet 10.1.0.0/24 on lan0, one route for each away client
  grants registrations of at most 10h, with timestamps that are at most 7s off, for at most 65536 clients
  grants reverse tunnels on request
  advertises itself at least every 3s
  revokes nothing: that takes a [[peer-association]] of kind foreign-home
  carries IP in IP

Foreign agent with care-of address 10.1.0.1
  visitors on lan0, at most 4096
  relays registrations of at most 10h, and waits 7s for the home agent
  grants reverse tunnels on request
  advertises itself at least every 3s
  has nothing revoked: that takes a [[peer-association]] of kind foreign-home
  carries IP in IP

Interfaces
  INTERFACE  ROLES        FAST PATH
  core0      core         auto
  lan0       home,access  tc

Security associations
  KIND         PEER         SPI  ALGORITHM
  mobile-home  10.1.0.0/24  256  hmac-md5

Places
  control socket {directory}/mipd.sock
  maps and links pinned below {directory}/bpf
  state and the journal of changes in /var/lib/mipd
",
        file = file.display(),
        directory = directory.path().display()
    );
    assert_eq!(outcome.exited(0).output, expected);
}

#[test]
fn offline_check_explains_an_access_point_and_doubts_what_is_hardly_meant() {
    let (_directory, file) = written(ACCESS_POINT);
    let outcome = mipd(&Recorder::default(), &["check", "--offline", "--config", file.to_str().unwrap()]);
    let expected = format!(
        "\
{file} is valid.

Access point on bridge br-lan, uplink eth0
  clients on wlan0 (campus), wlan1 without Proxy Mobile IP, at most 4096
  local, and bridged untouched: the prefixes of br-lan
  clients of 10.1.0.0/24 are registered with home agent 10.1.0.1
  asks for 10m, with a reverse tunnel where it is offered, from UDP port 5434
  drops visitors' broadcasts and multicasts
  bridges visitors' IPv6 like everybody's

Interfaces
  INTERFACE  ROLES   FAST PATH
  br-lan     bridge  -
  eth0       uplink  auto
  wlan0      radio   auto
  wlan1      radio   auto

Security associations
  KIND         PEER         SPI  ALGORITHM
  mobile-home  10.1.0.0/23  256  hmac-md5

Places
  control socket /run/mipd/mipd.sock
  maps and links pinned below /sys/fs/bpf/mipd
  state and the journal of changes in /var/lib/mipd

Worth a look:
  warning: clients 10.1.0.0/23 in line 3 are not within one subnet of subnet-map: the home agent of some is not known
",
        file = file.display()
    );
    assert_eq!(outcome.exited(0).output, expected);
}

#[test]
fn show_prints_what_the_agent_reports() {
    let (directory, file) = written(CONFIG);
    let counter = |name: &str, value| Counter {
        role: "home_agent".into(),
        name: name.into(),
        interface: None,
        hook: None,
        value,
        rfc2006: None,
        help: "registrations".into(),
    };
    let report = Report::Counters(vec![counter("accepted", 3), counter("denied_131", 0)]);
    let agent = Agent::start(&directory.path().join("mipd.sock"), Response::Report(report));
    let (backend, file) = (Recorder::default(), file.to_str().unwrap());
    let text = mipd(&backend, &["show", "counters", "--config", file]);
    assert_eq!(
        text.exited(0).output,
        "ROLE        INTERFACE  HOOK  NAME      VALUE  MEANING\nhome_agent  -          -     accepted      3  registrations\n"
    );
    let all = mipd(&backend, &["show", "counters", "--all", "--config", file]);
    assert!(all.exited(0).output.contains("denied_131      0  registrations"), "{}", all.output);
    let json = mipd(&backend, &["show", "counters", "--json", "--config", file]);
    let json: serde_json::Value = serde_json::from_str(&json.exited(0).output).unwrap();
    assert_eq!(json[1]["name"], "denied_131");
    assert_eq!(json[0]["value"], 3);
    let other = mipd(&backend, &["show", "bindings", "--config", file]);
    assert_eq!(other.exited(1).errors, "mipd: the agent answered with something else: is it of another version?\n");
    let counters = Request::Show { what: What::Counters };
    assert_eq!(agent.stop(), [counters.clone(), counters.clone(), counters, Request::Show { what: What::Bindings }]);
}

#[test]
fn orders_reach_the_agent_and_its_word_the_user() {
    let (directory, _) = written(CONFIG);
    let socket = directory.path().join("mipd.sock");
    let agent = Agent::start(&socket, Response::Done { message: "done as ordered".into() });
    let (backend, socket) = (Recorder::default(), socket.to_str().unwrap());
    for order in [&["deregister", "10.1.0.5"][..], &["pause"], &["resume"]] {
        let outcome = mipd(&backend, &[order, &["--socket", socket]].concat());
        assert_eq!(outcome.exited(0).output, "done as ordered\n");
    }
    let address = Ipv4Addr::new(10, 1, 0, 5);
    assert_eq!(agent.stop(), [Request::Deregister { address }, Request::Pause, Request::Resume]);
}

#[test]
fn a_refusal_is_one_line_and_exit_code_1() {
    let (directory, _) = written(CONFIG);
    let socket = directory.path().join("mipd.sock");
    let message = "10.1.0.5 has no binding here: see `mipd show bindings`";
    let agent = Agent::start(&socket, Response::Refused { message: message.into() });
    let outcome = mipd(&Recorder::default(), &["deregister", "10.1.0.5", "--socket", socket.to_str().unwrap()]);
    assert_eq!(outcome.exited(1).errors, format!("mipd: {message}\n"));
    agent.stop();
}

#[test]
fn unload_leaves_a_running_agent_alone() {
    let (directory, file) = written(CONFIG);
    let socket = directory.path().join("mipd.sock");
    let agent = Agent::start(&socket, Response::Done { message: String::new() });
    let backend = Recorder::default();
    let outcome = mipd(&backend, &["unload", "--config", file.to_str().unwrap()]);
    let expected = format!("mipd: the agent on {} is still running: stop it first\n", socket.display());
    assert_eq!(outcome.exited(1).errors, expected);
    assert!(backend.calls.lock().unwrap().is_empty());
    agent.stop();
}

#[test]
fn trace_prints_a_line_per_step_or_all_of_it_as_json() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("mipd.sock");
    let step = |time: &str, step: &str, text: &str| TraceStep {
        time: time.into(),
        role: "access_point".into(),
        mac: Some("02:00:00:00:00:05".into()),
        home_address: Some(Ipv4Addr::new(10, 1, 0, 100)),
        step: step.into(),
        text: text.into(),
        ..TraceStep::default()
    };
    let steps = vec![
        step("2026-10-05T10:14:03.000010Z", "noticed", "noticed by its first packet on wlan0: 10.1.0.100, foreign"),
        step("2026-10-05T10:14:07.100000Z", "gone", "gone: it no longer answers"),
    ];
    let agent = Agent::start(&socket, Response::Trace { steps: steps.clone() });
    let socket_text = socket.to_str().unwrap();
    let text = mipd(&Recorder::default(), &["trace", "10.1.0.100", "--socket", socket_text]);
    let expected = "\
TIME                         CLIENT             ROLE          WHAT HAPPENED
2026-10-05T10:14:03.000010Z  02:00:00:00:00:05  access point  noticed by its first packet on wlan0: 10.1.0.100, foreign
2026-10-05T10:14:07.100000Z  02:00:00:00:00:05  access point  gone: it no longer answers
";
    assert_eq!(text.exited(0).output, expected);
    let json = mipd(&Recorder::default(), &["trace", "02:00:00:00:00:05", "--json", "--socket", socket_text]);
    assert_eq!(serde_json::from_str::<Vec<TraceStep>>(&json.exited(0).output).unwrap(), steps);
    let asked = ["10.1.0.100", "02:00:00:00:00:05"].map(|client| Request::Trace { client: client.parse().unwrap() });
    assert_eq!(agent.stop(), asked);
}

#[test]
fn a_client_that_nobody_knows_is_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("mipd.sock");
    let agent = Agent::start(&socket, Response::Refused { message: "nothing is known of 10.1.0.9 here".into() });
    let outcome = mipd(&Recorder::default(), &["trace", "10.1.0.9", "--socket", socket.to_str().unwrap()]);
    assert_eq!(outcome.exited(1).errors, "mipd: nothing is known of 10.1.0.9 here\n");
    agent.stop();
}

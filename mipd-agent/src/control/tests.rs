//! Both ends of the control socket over a real one.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::Ipv4Addr,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{
    client::{Client, ClientError},
    protocol::{Request, Response, What},
    report::{Binding, Report},
    server::{Server, ServerError},
};

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run/mipd.sock");
    (directory, path)
}

fn ask(path: &Path, request: Request) -> JoinHandle<Result<Response, ClientError>> {
    let path = path.to_owned();
    spawn_blocking(move || Client::connect(&path)?.request(&request))
}

/// Sends bytes as they are, and reads until the other end closes or a line is there.
fn say(path: &Path, bytes: Vec<u8>) -> JoinHandle<String> {
    let path = path.to_owned();
    spawn_blocking(move || {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        let mut byte = [0];
        while answer.last() != Some(&b'\n') && stream.read(&mut byte).unwrap() == 1 {
            answer.push(byte[0]);
        }
        String::from_utf8(answer).unwrap()
    })
}

fn binding(host: u32) -> Binding {
    Binding {
        home_address: Ipv4Addr::from(0x0a01_0000 + host),
        care_of_address: Some(Ipv4Addr::new(10, 2, 0, 1)),
        home_agent: Some(Ipv4Addr::new(10, 1, 0, 1)),
        lifetime_granted_s: Some(600),
        lifetime_remaining_s: Some(580),
        flags: Some("T".into()),
        encapsulation: "ipip".into(),
        reverse_tunnel: Some(true),
        device: None,
    }
}

#[tokio::test]
async fn a_request_reaches_the_daemon_and_its_answer_the_client() {
    let (_directory, path) = place();
    let mut server = Server::bind(&path).unwrap();
    let client = ask(&path, Request::Show { what: What::Bindings });
    let (request, responder) = server.next_request().await;
    assert_eq!(request, Request::Show { what: What::Bindings });
    let response = Response::Report(Report::Bindings(vec![binding(5)]));
    responder.send(response.clone());
    assert_eq!(client.await.unwrap().unwrap(), response);
}

#[tokio::test]
async fn a_table_larger_than_any_socket_buffer_arrives_whole() {
    let (_directory, path) = place();
    let mut server = Server::bind(&path).unwrap();
    let client = ask(&path, Request::Show { what: What::Bindings });
    let (_, responder) = server.next_request().await;
    let response = Response::Report(Report::Bindings((0..20_000).map(binding).collect()));
    responder.send(response.clone());
    assert_eq!(client.await.unwrap().unwrap(), response);
}

#[tokio::test]
async fn a_connection_carries_several_requests() {
    let (_directory, path) = place();
    let mut server = Server::bind(&path).unwrap();
    let client = spawn_blocking(move || {
        let mut client = Client::connect(&path).unwrap();
        [Request::Pause, Request::Resume].map(|request| client.request(&request).unwrap())
    });
    for expected in [Request::Pause, Request::Resume] {
        let (request, responder) = server.next_request().await;
        responder.send(Response::Done { message: format!("{request:?}") });
        assert_eq!(request, expected);
    }
    let done = |message: &str| Response::Done { message: message.to_owned() };
    assert_eq!(client.await.unwrap(), [done("Pause"), done("Resume")]);
}

#[tokio::test]
async fn silent_connections_do_not_delay_others() {
    let (_directory, path) = place();
    let mut server = Server::bind(&path).unwrap();
    let _silent: Vec<_> = (0..8).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let client = ask(&path, Request::Pause);
    let (_, responder) = server.next_request().await;
    responder.send(Response::Refused { message: "no access point here".into() });
    assert_eq!(client.await.unwrap().unwrap(), Response::Refused { message: "no access point here".into() });
}

#[tokio::test]
async fn an_answer_to_a_client_that_left_is_no_error() {
    let (_directory, path) = place();
    let mut server = Server::bind(&path).unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"{\"command\":\"pause\"}\n").unwrap();
    let (_, gone) = server.next_request().await;
    drop(stream);
    gone.send(Response::Done { message: String::new() });
    let client = ask(&path, Request::Resume);
    let (request, responder) = server.next_request().await;
    responder.send(Response::Done { message: "resumed".into() });
    assert_eq!(request, Request::Resume);
    assert!(client.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_dropped_responder_tells_the_client() {
    let (_directory, path) = place();
    let mut server = Server::bind(&path).unwrap();
    let client = ask(&path, Request::Pause);
    drop(server.next_request().await);
    let Response::Refused { message } = client.await.unwrap().unwrap() else { panic!("not refused") };
    assert_eq!(message, "the agent gave no answer: it is stopping, try again when it runs");
}

#[tokio::test]
async fn nonsense_is_refused_without_troubling_the_daemon() {
    let (_directory, path) = place();
    let mut server = Server::bind(&path).unwrap();
    let nonsense = say(&path, b"show bindings\n".to_vec());
    let too_long = say(&path, [vec![b' '; 5000], b"\n".to_vec()].concat());
    let check = async {
        let answer = nonsense.await.unwrap();
        assert!(answer.starts_with(r#"{"status":"refused","message":"not a request: "#), "{answer}");
        assert_eq!(
            too_long.await.unwrap(),
            "{\"status\":\"refused\",\"message\":\"a request is one line of at most 4096 bytes: send a shorter one\"}\n"
        );
    };
    tokio::select! {
        () = check => {}
        (request, _) = server.next_request() => panic!("the daemon was handed {request:?}"),
    }
}

#[tokio::test]
async fn only_owner_and_group_may_connect_and_the_file_goes_with_the_server() {
    let (_directory, path) = place();
    let server = Server::bind(&path).unwrap();
    assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o007, 0);
    assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o600, 0o600);
    drop(server);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let (_directory, path) = place();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "left behind as after kill -9");
    let _server = Server::bind(&path).unwrap();
    let Err(ServerError::AlreadyRunning { .. }) = Server::bind(&path) else { panic!("two agents on one socket") };
    assert!(path.exists());
}

#[tokio::test]
async fn a_file_or_symbolic_link_in_the_way_is_left_alone() {
    let (directory, path) = place();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let precious = directory.path().join("precious");
    fs::write(&precious, "data").unwrap();
    symlink(&precious, &path).unwrap();
    let refused = Server::bind(&path).err().unwrap().to_string();
    assert_eq!(
        refused,
        format!("{} exists and is not a socket: remove it, or choose another control-socket", path.display())
    );
    assert_eq!(fs::read_to_string(&precious).unwrap(), "data");
    assert!(path.is_symlink());
}

#[test]
fn without_an_agent_the_client_says_how_to_start_it() {
    let (_directory, path) = place();
    let expected = format!("no agent is listening on {}: start it with `mipd run`", path.display());
    assert_eq!(Client::connect(&path).err().unwrap().to_string(), expected);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(Client::connect(&path).err().unwrap().to_string(), expected);
}

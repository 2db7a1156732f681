//! The sources of news about stations, one task for each and radio. Each tells what it hears and how it fares.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant as Clock, sleep, sleep_until, timeout},
};

use super::inputs::Input;
use crate::{
    io::{
        hostapd::{HostapdSocket, LARGEST},
        nl80211::StationSocket,
    },
    mobility::{counters::Count, link::InterfaceIndex, time::Instant},
    stations::{
        hostapd::{self, Conversation, Output, PATIENCE},
        nl80211,
        notice::{News, Source},
    },
};

/// How soon hostapd is tried again, at first and at most.
const RETRY: std::ops::Range<Duration> = Duration::from_millis(100)..Duration::from_secs(2);
/// How soon the kernel is tried again.
const NL80211_RETRY: Duration = Duration::from_secs(5);
/// How often its socket file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What a source has to say.
#[derive(Clone, PartialEq, Debug)]
pub struct SourceReport {
    /// Who.
    pub source: Source,
    /// Of which radio.
    pub interface: InterfaceIndex,
    /// What has happened there.
    pub news: Option<News>,
    /// Why it can tell nothing, unless it can.
    pub trouble: Option<String>,
    /// What it has counted.
    pub counts: Vec<Count>,
}

/// A source that is asked as long as this lives.
#[derive(Debug)]
pub struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Where a source tells.
#[derive(Clone, Debug)]
struct Teller {
    source: Source,
    interface: InterfaceIndex,
    sender: mpsc::Sender<Input>,
    trouble: Option<String>,
    counts: Vec<Count>,
}

impl Teller {
    /// Nobody listens any more: the task ends.
    async fn tell(&mut self, news: Option<News>) -> Result<(), Ended> {
        let Self { source, interface, ref trouble, ref counts, .. } = *self;
        let report = SourceReport { source, interface, news, trouble: trouble.clone(), counts: counts.clone() };
        self.sender.send(Input::Source(report)).await.map_err(|_| Ended)
    }

    /// Tells of a new trouble, once.
    async fn complain(&mut self, trouble: String) -> Result<(), Ended> {
        if self.trouble.as_ref() == Some(&trouble) {
            return Ok(());
        }
        self.trouble = Some(trouble);
        self.tell(None).await
    }

    /// It cannot be listened to any more, after it could (`reached`) or not.
    async fn lose(&mut self, reached: bool, reason: String, counts: Vec<Count>) -> Result<(), Ended> {
        self.counts = counts;
        if !reached {
            return self.complain(reason).await;
        }
        self.trouble = Some(reason);
        self.tell(Some(News::Unreachable)).await
    }
}

struct Ended;

/// Listens to the hostapd of a radio: `directory` holds its control socket, `own` is where it answers to.
pub(super) fn hostapd(
    sender: mpsc::Sender<Input>,
    interface: InterfaceIndex,
    name: &str,
    directory: &Path,
    own: PathBuf,
) -> Task {
    let peer = directory.join(name);
    let teller = Teller { source: Source::Hostapd, interface, sender, trouble: None, counts: Vec::new() };
    Task(tokio::spawn(async move {
        let Err(Ended) = follow_hostapd(teller, &peer, &own).await;
    }))
}

async fn follow_hostapd(mut teller: Teller, peer: &Path, own: &Path) -> Result<std::convert::Infallible, Ended> {
    let mut counters = hostapd::Counters::default();
    let mut pause = RETRY.start;
    loop {
        match HostapdSocket::connect(peer, own) {
            Ok(socket) => {
                let (reached, reason) = converse(&mut teller, &socket, &mut counters).await?;
                if reached {
                    pause = RETRY.start;
                }
                teller.lose(reached, reason, counters.iter().collect()).await?;
            }
            Err(error) => teller.complain(format!("{}: {error}", peer.display())).await?,
        }
        sleep(pause).await;
        pause = (pause * 2).min(RETRY.end);
    }
}

/// One conversation, to its end: whether hostapd has listed its stations, and why it ended.
async fn converse(
    teller: &mut Teller,
    socket: &HostapdSocket,
    counters: &mut hostapd::Counters,
) -> Result<(bool, String), Ended> {
    let start = Clock::now();
    let now = || Instant(start.elapsed());
    let (mut conversation, first) = Conversation::begin(now(), std::mem::take(counters));
    let mut out = vec![first];
    let (mut reached, mut look) = (false, start + LOOK);
    let mut buffer = [0; LARGEST];
    let reason = 'conversation: loop {
        for output in out.drain(..) {
            match output {
                Output::Send(command) => match timeout(PATIENCE, socket.send(&command)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => break 'conversation format!("hostapd cannot be asked: {error}"),
                    Err(_) => break 'conversation "hostapd does not read what it is asked".to_owned(),
                },
                Output::Tell(news) => {
                    reached |= matches!(news, News::Stations(_));
                    if reached {
                        teller.trouble = None;
                    }
                    teller.counts = conversation.counters().iter().collect();
                    teller.tell(Some(news)).await?;
                }
                Output::End(reason) => break 'conversation reason.to_owned(),
            }
        }
        tokio::select! {
            received = socket.receive(&mut buffer) => match received {
                Ok(length) => conversation.receive(now(), &buffer[..length], &mut out),
                Err(error) => break format!("hostapd cannot be heard: {error}"),
            },
            () = sleep_until(start + conversation.poll_timeout().0) => conversation.handle_timeout(now(), &mut out),
            () = sleep_until(look) => {
                look = Clock::now() + LOOK;
                if socket.is_outdated() {
                    break "hostapd's control socket is gone".to_owned();
                }
            }
        }
    };
    *counters = conversation.counters().clone();
    Ok((reached, reason))
}

/// Listens to the kernel's wireless subsystem about a radio.
pub(super) fn nl80211(sender: mpsc::Sender<Input>, interface: InterfaceIndex) -> Task {
    let teller = Teller { source: Source::Nl80211, interface, sender, trouble: None, counts: Vec::new() };
    Task(tokio::spawn(async move {
        let Err(Ended) = follow_nl80211(teller).await;
    }))
}

async fn follow_nl80211(mut teller: Teller) -> Result<std::convert::Infallible, Ended> {
    let mut counters = nl80211::Counters::default();
    loop {
        match StationSocket::open() {
            Ok(socket) => {
                let (reached, reason) = watch(&mut teller, socket, &mut counters).await?;
                teller.lose(reached, reason, counters.iter().collect()).await?;
            }
            Err(error) => teller.complain(error.to_string()).await?,
        }
        sleep(NL80211_RETRY).await;
    }
}

/// Watches a radio until that is not possible any more: whether its stations were listed, and why it ended.
async fn watch(
    teller: &mut Teller,
    mut socket: StationSocket,
    counters: &mut nl80211::Counters,
) -> Result<(bool, String), Ended> {
    let start = Clock::now();
    let now = || Instant(start.elapsed());
    let (mut watch, first) = nl80211::Watch::begin(now(), teller.interface.0, std::mem::take(counters));
    let mut out = vec![first];
    let mut reached = false;
    let reason = 'watch: loop {
        for output in out.drain(..) {
            match output {
                nl80211::Output::List => {
                    if let Err(error) = socket.list(teller.interface.0) {
                        break 'watch format!("the kernel cannot be asked: {error}");
                    }
                }
                nl80211::Output::Tell(news) => {
                    reached = true;
                    teller.trouble = None;
                    teller.counts = watch.counters().iter().collect();
                    teller.tell(Some(news)).await?;
                }
                nl80211::Output::End(reason) => break 'watch reason,
            }
        }
        tokio::select! {
            received = socket.receive() => match received {
                Ok(heard) => {
                    for heard in heard {
                        watch.hear(now(), &heard, &mut out);
                    }
                }
                Err(error) => break format!("the kernel cannot be heard: {error}"),
            },
            () = sleep_until(start + watch.poll_timeout().0) => watch.handle_timeout(now(), &mut out),
        }
    };
    *counters = watch.counters().clone();
    Ok((reached, reason))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram as BlockingDatagram;

    use mipd_common::mac::MacAddress;
    use tokio::net::{UnixDatagram, unix::SocketAddr};

    use super::*;

    const RADIO: InterfaceIndex = InterfaceIndex(7);
    const FIRST: MacAddress = MacAddress([2, 0, 0, 0, 3, 0]);
    const SECOND: MacAddress = MacAddress([2, 0, 0, 0, 4, 0]);
    const LONG: Duration = Duration::from_secs(20);

    /// Plays hostapd.
    struct Hostapd {
        socket: UnixDatagram,
        path: PathBuf,
        listener: Option<SocketAddr>,
    }

    impl Hostapd {
        fn start(directory: &Path) -> Self {
            let path = directory.join("wlan0");
            let _ = std::fs::remove_file(&path);
            Self { socket: UnixDatagram::bind(&path).unwrap(), path, listener: None }
        }

        /// Waits for a command and answers it.
        async fn answer(&mut self, expected: &str, answer: &str) {
            let mut buffer = [0; 256];
            let (length, from) = timeout(LONG, self.socket.recv_from(&mut buffer)).await.expect(expected).unwrap();
            assert_eq!(std::str::from_utf8(&buffer[..length]).unwrap(), expected);
            self.listener = Some(from);
            self.say(answer).await;
        }

        async fn say(&self, text: &str) {
            let to = self.listener.as_ref().and_then(SocketAddr::as_pathname).expect("a listener with a name");
            self.socket.send_to(text.as_bytes(), to).await.unwrap();
        }

        async fn list(&mut self, station: MacAddress) {
            self.answer("ATTACH", "OK\n").await;
            self.answer("STA-FIRST", &format!("{station}\nflags=[AUTH][ASSOC][AUTHORIZED]\n")).await;
            self.answer(&format!("STA-NEXT {station}"), "").await;
        }
    }

    async fn next(inputs: &mut mpsc::Receiver<Input>) -> SourceReport {
        match timeout(LONG, inputs.recv()).await.expect("no report").expect("the task lives") {
            Input::Source(report) => report,
            _ => panic!("only a source is read"),
        }
    }

    async fn news(inputs: &mut mpsc::Receiver<Input>) -> News {
        loop {
            if let Some(news) = next(inputs).await.news {
                return news;
            }
        }
    }

    #[tokio::test]
    async fn hostapd_is_listened_to_across_its_restarts_and_ours() {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join("own");
        // What an agent that was killed has left.
        drop(BlockingDatagram::bind(&own).unwrap());
        let (sender, mut inputs) = mpsc::channel(8);
        let task = hostapd(sender, RADIO, "wlan0", directory.path(), own.clone());

        let report = next(&mut inputs).await;
        assert_eq!((report.source, report.interface, report.news), (Source::Hostapd, RADIO, None));
        assert!(report.trouble.unwrap().contains("wlan0: No such file"), "it says why");

        let mut hostapd = Hostapd::start(directory.path());
        hostapd.list(FIRST).await;
        let report = next(&mut inputs).await;
        assert_eq!((report.news, report.trouble), (Some(News::Stations(vec![FIRST])), None));
        hostapd.say("<3>AP-STA-CONNECTED 02:00:00:00:04:00").await;
        assert_eq!(news(&mut inputs).await, News::Associated(SECOND));
        hostapd.say("<3>AP-STA-DISCONNECTED 02:00:00:00:04:00").await;
        assert_eq!(news(&mut inputs).await, News::Disassociated(SECOND));

        // It is killed, and started again.
        drop(hostapd);
        let mut hostapd = Hostapd::start(directory.path());
        let report = next(&mut inputs).await;
        assert_eq!(report.news, Some(News::Unreachable));
        assert!(report.trouble.is_some());
        hostapd.list(SECOND).await;
        assert_eq!(news(&mut inputs).await, News::Stations(vec![SECOND]));

        // It ends in order.
        hostapd.say("<3>CTRL-EVENT-TERMINATING ").await;
        assert_eq!(news(&mut inputs).await, News::Unreachable);
        std::fs::remove_file(&hostapd.path).unwrap();

        drop(task);
        timeout(LONG, async {
            while own.exists() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("our socket file is removed");
    }

    #[tokio::test]
    async fn an_interface_that_is_not_wireless_has_no_news_and_that_is_said_once() {
        let (sender, mut inputs) = mpsc::channel(8);
        let _task = nl80211(sender, RADIO);
        let report = next(&mut inputs).await;
        assert_eq!((report.source, report.news), (Source::Nl80211, None));
        let trouble = report.trouble.unwrap();
        assert!(trouble == "the kernel has no nl80211" || trouble == "no wireless interface", "{trouble}");
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_not_removed_for_ours() {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join("own");
        std::fs::write(&own, "precious").unwrap();
        let _hostapd = Hostapd::start(directory.path());
        let (sender, mut inputs) = mpsc::channel(8);
        let _task = hostapd(sender, RADIO, "wlan0", directory.path(), own.clone());
        assert!(next(&mut inputs).await.trouble.unwrap().contains("is in the way"));
        assert_eq!(std::fs::read_to_string(&own).unwrap(), "precious");
    }
}

//! A watch between a client made of channels and an authority that rotates, in simulated time.

use std::pin::Pin;

use signet_identity::{Timestamp, TrustDomain};
use signet_runtime::ShutdownTrigger;
use signet_testkit::temp_dir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::super::Acknowledgements;
use super::super::places::Places;
use super::*;

type Outgoing = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

struct Client {
    says: Option<mpsc::Sender<Result<WatchRequest, Status>>>,
    hears: Outgoing,
    authority: watch::Sender<Arc<Authority>>,
    counts: Acknowledgements,
    trigger: ShutdownTrigger,
}

fn authority() -> Authority {
    let trust_domain: TrustDomain = "cluster.local".parse().unwrap();
    let now = Timestamp::from_unix_secs(1_800_000_000);
    Authority::self_signed(temp_dir().path(), &trust_domain, Duration::from_secs(86_400), now).unwrap()
}

impl Client {
    fn new() -> Self {
        let (says, incoming) = mpsc::channel(16);
        let (authority, current) = watch::channel(Arc::new(authority()));
        let counts = Acknowledgements::default();
        let (trigger, shutdown) = Shutdown::new();
        let place = Places::default().take("test".to_owned()).unwrap();
        let watch = Watch::new(
            ReceiverStream::new(incoming),
            current,
            "cluster.local".to_owned(),
            counts.watcher(),
            place,
            shutdown,
        );
        Self { says: Some(says), hears: Box::pin(watch.into_stream()), authority, counts, trigger }
    }

    async fn acknowledge(&self, generation: u64) {
        let message = WatchRequest { acknowledged_generation: generation };
        self.says.as_ref().unwrap().send(Ok(message)).await.unwrap();
    }

    /// Publishes a bundle with this number.
    fn publish(&self, generation: u64) {
        self.authority.send_modify(|current| {
            let published = Published { generation, ..(**current.published()).clone() };
            *current = Arc::new(current.with_published(Arc::new(published)));
        });
    }

    /// The next bundle's number; `None` when the stream has ended in peace.
    async fn next(&mut self) -> Option<u64> {
        self.hears.next().await.map(|response| response.unwrap().generation)
    }

    /// Lets the watch take what it was told, without a bundle coming of it.
    async fn settle(&mut self) {
        let quiet = tokio::time::timeout(Duration::from_secs(1), self.hears.next()).await;
        assert!(quiet.is_err(), "{quiet:?}");
    }

    fn reached(&self, generation: u64) -> (usize, usize) {
        let watching = self.counts.watching();
        (watching.reached(generation), watching.watchers())
    }
}

#[tokio::test(start_paused = true)]
async fn the_bundle_in_force_comes_at_once_and_each_later_one_when_it_comes() {
    let mut client = Client::new();
    client.acknowledge(0).await;
    assert_eq!(client.next().await, Some(1));
    client.settle().await;
    client.publish(2);
    assert_eq!(client.next().await, Some(2));
    client.publish(3);
    assert_eq!(client.next().await, Some(3));
}

#[tokio::test(start_paused = true)]
async fn nothing_comes_before_the_client_has_opened_the_watch_and_it_has_ten_seconds_for_that() {
    let mut client = Client::new();
    client.settle().await;
    let status = client.hears.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
    assert!(client.hears.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn whoever_reads_slowly_gets_the_newest_only() {
    let mut client = Client::new();
    client.acknowledge(0).await;
    assert_eq!(client.next().await, Some(1));
    (2..100).for_each(|generation| client.publish(generation));
    assert_eq!(client.next().await, Some(99));
    client.settle().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_acknowledged_is_counted_and_what_cannot_be_true_is_not() {
    let mut client = Client::new();
    assert_eq!(client.reached(1), (0, 1));
    client.acknowledge(7).await;
    assert_eq!(client.next().await, Some(1));
    assert_eq!(client.reached(1), (0, 1), "7 is not published here");
    client.acknowledge(1).await;
    client.settle().await;
    assert_eq!(client.reached(1), (1, 1));
    client.publish(2);
    assert_eq!(client.next().await, Some(2));
    assert_eq!(client.reached(2), (0, 1));
    client.acknowledge(2).await;
    client.settle().await;
    assert_eq!(client.reached(2), (1, 1));
    drop(client.hears);
    assert_eq!(client.counts.watching().watchers(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_acknowledgements_is_read_at_twenty_a_second() {
    let mut client = Client::new();
    client.acknowledge(0).await;
    assert_eq!(client.next().await, Some(1));
    let says = client.says.take().unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let mut sent = 0;
        while says.send(Ok(WatchRequest { acknowledged_generation: 1 })).await.is_ok() {
            sent += 1;
            if sent == 1000 {
                break;
            }
        }
        sent
    });
    let began = Instant::now();
    // It ends when all have been read.
    assert_eq!(client.next().await, None);
    assert!(began.elapsed() >= Duration::from_secs(49), "{:?}", began.elapsed());
    assert_eq!(tasks.join_next().await.unwrap().unwrap(), 1000);
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_within_an_hour_when_the_client_goes_and_when_the_server_stops() {
    let mut client = Client::new();
    client.acknowledge(0).await;
    assert_eq!(client.next().await, Some(1));
    let began = Instant::now();
    assert_eq!(client.next().await, None);
    assert!((AGE_MAX - AGE_JITTER..=AGE_MAX + Duration::from_secs(1)).contains(&began.elapsed()));

    let mut client = Client::new();
    client.acknowledge(0).await;
    assert_eq!(client.next().await, Some(1));
    client.says = None;
    assert_eq!(client.next().await, None);

    let mut client = Client::new();
    client.acknowledge(0).await;
    assert_eq!(client.next().await, Some(1));
    client.trigger.trigger();
    assert_eq!(client.next().await, None);

    let mut client = Client::new();
    client.says.as_ref().unwrap().send(Err(Status::internal("broken"))).await.unwrap();
    assert_eq!(client.next().await, None);
}

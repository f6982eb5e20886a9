//! Shares of addresses, under times that the tests choose.

use std::time::Duration;

use super::*;

const LIMITS: Limits =
    Limits { connections: 90, handshakes: 16, handshakes_of_one: 4, requests: 16, bytes: 1600, streams: 12 };

/// As a request does that brings a token and holds so many bytes.
fn ask(connection: &Arc<Connection>, bytes: usize) -> Result<Place, Refused> {
    connection.bring_token(Instant::now())?;
    connection.ask(bytes)
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

async fn connect(peers: &Arc<Peers>, address: IpAddr) -> Result<Arc<Connection>, Refused> {
    peers.connect(peers.room().await.unwrap(), address, Instant::now()).map(Arc::new)
}

async fn established(peers: &Arc<Peers>, address: IpAddr) -> Arc<Connection> {
    connect(peers, address).await.unwrap()
}

/// Everything that `address` gets.
async fn hoard(peers: &Arc<Peers>, address: IpAddr) -> Vec<Arc<Connection>> {
    let mut held = Vec::new();
    while let Ok(connection) = connect(peers, address).await {
        held.push(connection);
    }
    held
}

#[tokio::test(start_paused = true)]
async fn an_address_that_takes_all_connections_it_can_leaves_some_to_each_other() {
    let peers = Peers::new(LIMITS);
    let first = hoard(&peers, address(1)).await;
    assert_eq!(first.len(), 72);
    assert_eq!(hoard(&peers, address(2)).await.len(), 15);
    drop(first);
    let second = hoard(&peers, address(2)).await;
    assert_eq!(second.len(), 72);
    assert!(!hoard(&peers, address(3)).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn handshakes_beyond_an_address_s_bound_wait_and_keep_no_other_waiting() {
    let peers = Peers::new(LIMITS);
    let connections = [(); 6].map(|()| peers.connections.clone().try_acquire_owned().unwrap());
    let connections =
        connections.map(|connection| Arc::new(peers.connect(Room { connection }, address(1), Instant::now()).unwrap()));
    let mut under_way = Vec::new();
    for connection in &connections[..4] {
        under_way.push(connection.handshake().await.unwrap());
    }
    let soon = Duration::from_secs(1);
    assert!(tokio::time::timeout(soon, connections[4].handshake()).await.is_err(), "the fifth waits");
    let other = established(&peers, address(2)).await;
    assert!(tokio::time::timeout(soon, other.handshake()).await.is_ok());
    under_way.pop();
    assert!(tokio::time::timeout(soon, connections[5].handshake()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn requests_are_shared_whatever_connections_bring_them() {
    let peers = Peers::new(LIMITS);
    let (one, two) = (established(&peers, address(1)).await, established(&peers, address(1)).await);
    let mut places = Vec::new();
    while let (Ok(first), Ok(second)) = (ask(&one, 1), ask(&two, 1)) {
        places.extend([first, second]);
    }
    assert_eq!(places.len(), 8);
    assert_eq!(ask(&one, 1).err(), Some(Refused::Share));
    let other = established(&peers, address(2)).await;
    assert!(ask(&other, 1).is_ok());
    drop(places);
    assert_eq!((peers.requests.taken(), peers.bytes.taken()), (0, 0));
    assert!(ask(&one, 1).is_ok());
}

#[tokio::test(start_paused = true)]
async fn bytes_are_shared_however_few_requests_hold_them() {
    let peers = Peers::new(LIMITS);
    let (one, other) = (established(&peers, address(1)).await, established(&peers, address(2)).await);
    let place = ask(&one, 700).unwrap();
    assert!(place.grow(100));
    assert!(!place.grow(1), "half of all");
    assert_eq!(ask(&one, 1).err(), Some(Refused::Bytes));
    assert!(ask(&other, 400).is_ok());
    drop(place);
    assert!(ask(&one, 800).is_ok());
    assert_eq!((peers.requests.taken(), peers.bytes.taken()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connection_opens_few_streams_and_an_address_leaves_some_to_others() {
    let peers = Peers::new(LIMITS);
    let (one, two) = (established(&peers, address(1)).await, established(&peers, address(1)).await);
    let mut open: Vec<_> = (0..4).map(|_| one.open_stream().unwrap()).collect();
    assert_eq!(one.open_stream().err(), Some(Refused::Streams));
    open.extend([two.open_stream().unwrap(), two.open_stream().unwrap()]);
    assert_eq!(two.open_stream().err(), Some(Refused::Streams), "half of all");
    assert!(established(&peers, address(2)).await.open_stream().is_ok());
    drop(open);
    assert!(one.open_stream().is_ok());
    assert_eq!(peers.streams.taken(), 0);
}

/// Brings bad tokens until they are not looked at any more, and says how many were.
fn flood(connection: &Arc<Connection>) -> usize {
    (0..1000)
        .take_while(|_| {
            let asked = ask(connection, 1).is_ok();
            if asked {
                connection.brought_bad_token(Instant::now());
            }
            asked
        })
        .count()
}

#[tokio::test(start_paused = true)]
async fn bad_tokens_stop_being_looked_at_and_slowly_are_again() {
    let peers = Peers::new(LIMITS);
    let connection = established(&peers, address(1)).await;
    assert_eq!(flood(&connection), 64);
    assert_eq!(ask(&connection, 1).err(), Some(Refused::BadTokens));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(flood(&connection), 16);
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(flood(&connection), 64);
}

#[tokio::test(start_paused = true)]
async fn a_flood_costs_its_neighbours_behind_one_address_nothing() {
    let peers = Peers::new(LIMITS);
    let (bad, good) = (established(&peers, address(1)).await, established(&peers, address(1)).await);
    good.brought_good_token();
    flood(&bad);
    let new = established(&peers, address(1)).await;
    for neighbour in [&good, &new] {
        for _ in 0..100 {
            assert!(ask(neighbour, 1).is_ok());
            neighbour.brought_good_token();
        }
    }
    assert_eq!(ask(&bad, 1).err(), Some(Refused::BadTokens));
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_gets_one_look_and_does_not_wash_its_address_clean() {
    let peers = Peers::new(LIMITS);
    flood(&established(&peers, address(1)).await);
    for _ in 0..100 {
        assert_eq!(flood(&established(&peers, address(1)).await), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_only_makes_connections_for_bad_tokens_is_not_looked_at_for_ever() {
    let peers = Peers::new(LIMITS);
    let known = established(&peers, address(1)).await;
    known.brought_good_token();
    let looked_at = async |address| {
        let mut looked_at = 0;
        for _ in 0..1000 {
            looked_at += flood(&established(&peers, address).await).min(1);
        }
        looked_at
    };
    assert_eq!(looked_at(address(1)).await, 256);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(looked_at(address(1)).await, 32);
    assert!(ask(&known, 1).is_ok(), "who brought a good one is");
    assert!(ask(&established(&peers, address(2)).await, 1).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_good_token_clears_its_connection() {
    let peers = Peers::new(LIMITS);
    let (bad, mended) = (established(&peers, address(1)).await, established(&peers, address(1)).await);
    mended.brought_bad_token(Instant::now());
    flood(&bad);
    assert!(ask(&mended, 1).is_err());
    mended.brought_good_token();
    assert!(ask(&mended, 1).is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_bounded_and_the_innocent_are_forgotten_at_once() {
    let peers = Peers::new(LIMITS);
    for number in 0..u32::try_from(REMEMBERED_MAX).unwrap() + 500 {
        let address = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
        established(&peers, address).await.brought_bad_token(Instant::now());
        drop(established(&peers, IpAddr::from([192, 0, 2, 1])).await);
        let table = peers.lock();
        assert!(table.peers.len() <= REMEMBERED_MAX && table.remembered.len() <= REMEMBERED_MAX);
    }
    assert!(!peers.lock().peers.contains_key(&IpAddr::from([192, 0, 2, 1])));
}

#[test]
fn addresses_of_one_host_are_one() {
    let same = |one: &str, other: &str| key(one.parse().unwrap()) == key(other.parse().unwrap());
    assert!(same("2001:db8:0:1::1", "2001:db8:0:1:ffff::2"));
    assert!(!same("2001:db8:0:1::1", "2001:db8:0:2::1"));
    assert!(same("::ffff:10.0.0.1", "10.0.0.1"));
    assert!(!same("10.0.0.1", "10.0.0.2"));
}

#[tokio::test]
async fn half_of_few_connections_are_a_crowd_already() {
    let peers = Peers::new(LIMITS);
    let mut open: Vec<Arc<Connection>> = Vec::new();
    for number in 0..LIMITS.connections / 2 {
        assert!(open.last().is_none_or(|last| !last.is_in_crowd()), "{number}");
        open.push(established(&peers, address(u8::try_from(number).unwrap())).await);
    }
    assert!(open[0].is_in_crowd());
    open.pop();
    assert!(!open[0].is_in_crowd());
}

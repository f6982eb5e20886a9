//! The socket's path in every state it can be found in, and who may connect.

use super::*;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};

use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::Health;

fn config(dir: &TempDir) -> SocketOptions {
    SocketOptions { path: dir.path().join("run/uds/socket"), mode: 0o600, allowed_uids: vec![], setting: "sds.socket" }
}

fn bind(config: &SocketOptions) -> Result<UnixSocket, BindError> {
    UnixSocket::bind(config.clone(), Health::new().part("sds"))
}

#[tokio::test]
async fn the_socket_has_its_mode_and_is_gone_with_its_listener() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    let listener = bind(&config).unwrap();
    assert_eq!(fs::metadata(&config.path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(listener);
    assert!(!config.path.exists());
}

#[tokio::test]
async fn a_path_held_by_a_live_server_is_left_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    let first = bind(&config).unwrap();
    assert!(matches!(bind(&config), Err(BindError::HeldByLiveServer { .. })), "another agent");
    drop(first);

    let stranger = StdListener::bind(&config.path).unwrap();
    let error = bind(&config).unwrap_err();
    assert!(error.to_string().contains("held by a live server"), "{error}");
    assert!(StdStream::connect(&config.path).is_ok(), "the stranger still serves");
    drop(stranger);
}

#[tokio::test]
async fn a_server_too_busy_to_accept_is_alive() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    make_parent(&config.path).unwrap();
    let address = SocketAddrUnix::new(&config.path).unwrap();
    let new = || socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None).unwrap();
    let server = new();
    rustix::net::bind(&server, &address).unwrap();
    rustix::net::listen(&server, 0).unwrap();
    let clients: Vec<_> = (0..4).map(|_| new()).collect();
    let full = clients.iter().any(|client| connect(client, &address) == Err(Errno::AGAIN));
    assert!(full, "the queue is full");
    assert!(matches!(bind(&config), Err(BindError::HeldByLiveServer { .. })));
}

#[tokio::test]
async fn a_dead_socket_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    make_parent(&config.path).unwrap();
    drop(StdListener::bind(&config.path).unwrap());
    assert!(config.path.exists(), "a crash leaves the path behind");
    let _listener = bind(&config).unwrap();
    assert!(StdStream::connect(&config.path).is_ok());
}

#[tokio::test]
async fn a_file_of_another_kind_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    make_parent(&config.path).unwrap();
    fs::write(&config.path, "precious").unwrap();
    assert!(matches!(bind(&config), Err(BindError::NotASocket { .. })));
    assert_eq!(fs::read_to_string(&config.path).unwrap(), "precious");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    fs::write(dir.path().join("run"), "").unwrap();
    let error = bind(&config).unwrap_err();
    assert!(error.to_string().starts_with("cannot create directory"), "{error}");
}

#[tokio::test]
async fn a_socket_that_was_removed_is_bound_anew_and_a_stranger_on_its_path_is_respected() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    let health = Health::new();
    let mut listener = UnixSocket::bind(config.clone(), health.part("sds")).unwrap();
    fs::remove_file(&config.path).unwrap();
    listener.keep_path();
    assert!(StdStream::connect(&config.path).is_ok());

    fs::remove_file(&config.path).unwrap();
    let stranger = StdListener::bind(&config.path).unwrap();
    listener.keep_path();
    assert!(health.reasons()[0].1.contains("held by a live server"), "{:?}", health.reasons());
    drop(stranger);
    listener.keep_path();
    assert_eq!(health.reasons(), []);
    drop(listener);
    assert!(!config.path.exists());
}

#[tokio::test]
async fn a_strangers_socket_is_not_removed_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    let listener = bind(&config).unwrap();
    fs::remove_file(&config.path).unwrap();
    let _stranger = StdListener::bind(&config.path).unwrap();
    drop(listener);
    assert!(config.path.exists());
}

#[tokio::test]
async fn a_user_who_is_not_listed_is_turned_away() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    let mut listener = bind(&config).unwrap();
    listener.allowed = vec![rustix::process::geteuid().as_raw() + 1];
    let mut denied = Vec::new();
    let mut stream = UnixStream::connect(&config.path).await.unwrap();
    tokio::select! {
        _ = listener.accept(|why| denied.push(why)) => panic!("the connection was let in"),
        read = stream.read_u8() => {
            let closed = read.is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof);
            assert!(closed, "without a byte");
        }
    }
    assert_eq!(denied, [Denied::Uid]);
}

#[tokio::test]
async fn the_number_of_connections_is_bounded_and_places_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    let mut listener = bind(&config).unwrap();
    listener.places = Arc::new(Semaphore::new(1));
    let (one, _far) = UnixStream::pair().unwrap();
    let held = listener.admit(one).unwrap();
    let (two, _far) = UnixStream::pair().unwrap();
    assert_eq!(listener.admit(two).unwrap_err(), Denied::Limit);
    drop(held);
    let (three, _far) = UnixStream::pair().unwrap();
    assert!(listener.admit(three).is_ok());
}

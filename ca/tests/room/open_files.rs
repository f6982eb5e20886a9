//! The bound on open files: raised as far as it goes, and never reached by connections.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use signet_testkit::{TokenIssuer, temp_dir};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::lab::{HOUR, any_csr, eventually, http_get, now};
use crate::process::{Program, address, ask};

/// Runs what follows with a low bound that can be raised to 300.
const FEW_FILES: [&str; 3] = ["sh", "-c", "ulimit -Sn 64; ulimit -Hn 300; exec \"$0\" \"$@\""];

/// A connection that says nothing; none where nobody accepts it for now.
async fn silent(from: [u8; 4], to: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(IpAddr::from(from), 0)).unwrap();
    timeout(Duration::from_millis(200), socket.connect(to)).await.ok()?.ok()
}

#[tokio::test]
async fn visitors_of_published_documents_never_take_them_either() {
    let (dir, issuer) = (temp_dir(), TokenIssuer::es256());
    let oidc = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let flags = ["--jwt.enabled", "true", "--jwt.issuer", "https://ca.example", "--oidc.listen", &oidc.to_string()];
    let mut program = Program::start_under(&FEW_FILES, dir.path(), &issuer, &flags);
    let listen = address(&program.wait_for("serving"), "listen");
    let files = || fs::read_dir(format!("/proc/{}/fd", program.id())).unwrap().count();
    let before = files();

    let mut held = Vec::new();
    for number in 0..200_u16 {
        let [_, host] = (number / 20 + 2).to_be_bytes();
        held.extend(silent([127, 0, 0, host], oidc).await);
    }
    assert!(held.len() > 100, "{} are held", held.len());
    let taken = files().saturating_sub(before);
    // A quarter of the 150 that are kept for everything but callers, and what else was opened meanwhile.
    assert!((20..=45).contains(&taken), "{taken} files are taken");
    let (root, csr) = (fs::read_to_string(dir.path().join("state/root-cert.pem")).unwrap(), any_csr());
    let token = issuer.token("shop", "web", now(), HOUR);
    ask(listen, &root, &token, &csr).await.expect("callers do not notice");
}

#[tokio::test]
async fn connections_never_take_the_files_that_everything_else_needs() {
    let (dir, issuer) = (temp_dir(), TokenIssuer::es256());
    let mut program = Program::start_under(&FEW_FILES, dir.path(), &issuer, &[]);
    let told = program.wait_for("fewer files may be open than connections can be served");
    let line = program.wait_for("serving");
    let (listen, admin) = (address(&line, "listen"), address(&line, "admin"));
    assert_eq!((&told["files"], &told["connections"]), (&Value::from(300), &Value::from(150)));
    let page = http_get(admin, "/metrics").await.1;
    assert!(page.contains("signet_ca_connections_max 150\n"), "{page}");

    let mut held = Vec::new();
    for number in 0..400_u16 {
        let [_, host] = (number / 20 + 2).to_be_bytes();
        held.extend(silent([127, 0, 0, host], listen).await);
    }
    assert!(held.len() > 150, "{} are held", held.len());
    let (status, _) = http_get(admin, "/healthz/live").await;
    assert_eq!(status, 200, "health answers");
    drop(held);

    let (root, csr) = (fs::read_to_string(dir.path().join("state/root-cert.pem")).unwrap(), any_csr());
    let token = issuer.token("shop", "web", now(), HOUR);
    eventually("a certificate is issued", async || {
        matches!(timeout(Duration::from_secs(5), ask(listen, &root, &token, &csr)).await, Ok(Ok(_)))
    })
    .await;
    let (code, said) = program.terminate();
    assert_eq!(code, Some(0));
    assert!(!said.contains("cannot be accepted"), "the operating system never had to refuse: {said}");
}

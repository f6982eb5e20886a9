//! How a server ends: whoever is being answered gets the answer, nobody new is let in, and it does not take for ever.

use std::fs;
use std::time::{Duration, Instant};

use signet_kube_standin::Effect;
use signet_testkit::{TokenIssuer, temp_dir};
use tokio::net::TcpStream;

use crate::kubernetes::{cluster, setup, token};
use crate::lab::{any_csr, eventually};
use crate::process::{Program, address, ask};

/// How long a request takes that is under way when the end comes.
const LONG: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_program_ends_and_none_after_it() {
    let cluster = cluster().await;
    let setup = setup(&cluster).with("tokens.mode", "'review'");
    cluster.faults().always(Effect::Slow(LONG), |seen| seen.path.contains("tokenreviews"));
    let mut program = Program::of(&setup, &[]);
    let listen = address(&program.wait_for("serving"), "listen");
    let root = fs::read_to_string(setup.path("state/root-cert.pem")).unwrap();
    let (good, csr) = (token(&cluster), any_csr());

    let asking = async { ask(listen, &root, &good, &csr).await };
    let ending = async {
        eventually("the token is being reviewed", async || {
            cluster.count(|seen| seen.path.contains("tokenreviews")) > 0
        })
        .await;
        program.tell_to_end();
        program.wait_for("stopping");
        eventually("nobody new is let in", async || TcpStream::connect(listen).await.is_err()).await;
    };
    let (answer, ()) = tokio::join!(asking, ending);
    assert_eq!(answer.unwrap().len(), 2, "the request was answered, with leaf and roots");
    let (code, said) = program.ended();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("certificate issued") && !said.contains("cut off"), "{said}");
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_is_not_waited_for() {
    let (dir, issuer) = (temp_dir(), TokenIssuer::es256());
    let mut program = Program::start_under(&[], dir.path(), &issuer, &[]);
    let listen = address(&program.wait_for("serving"), "listen");
    let _held = TcpStream::connect(listen).await.unwrap();
    program.tell_to_end();
    let began = Instant::now();
    let (code, _) = program.ended();
    assert_eq!(code, Some(0));
    assert!(began.elapsed() < Duration::from_secs(10));
}

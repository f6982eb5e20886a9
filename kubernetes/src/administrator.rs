//! A client of the stand-in, for tests, that may do everything.

use std::time::Duration;

use signet_kube_standin::ApiServer;
use signet_testkit::{TempDir, temp_dir};

use crate::{ApiClient, Connection};

/// Gives each request `deadline`. The directory holds its token.
pub(crate) async fn administrator(server: &ApiServer, deadline: Duration) -> (ApiClient, TempDir) {
    let dir = temp_dir();
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, server.administrator()).unwrap();
    let url = server.url().parse().unwrap();
    let connection = Connection::Server { url, ca_file: None, token_file: Some(token_file) };
    (ApiClient::new(&connection, "signet-test/1", deadline).await.unwrap(), dir)
}

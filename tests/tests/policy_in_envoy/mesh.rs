//! One Envoy with many policy sets in it, and clients of it that have names.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use signet_identity::{Lifetime, Timestamp};
use signet_policy::envoy::{Filter, Slot};
use signet_testkit::{IssuedLeaf, TestCa};
use signet_tests::{Envoy, Workdir};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::ask::{Answer, Ask, Line};
use crate::names::SERVER_NAMES;
use crate::sets::Set;

/// The header by which routes are chosen.
const WHICH: &str = "x-signet-set";
/// Requests that are under way on one connection.
const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(120);

/// Everything that has a certificate.
pub(crate) struct Names {
    ca: TestCa,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self { ca: TestCa::root("td1") }
    }

    fn leaf(&self, uri: &str) -> IssuedLeaf {
        let begin = Timestamp::from_unix_secs(1_577_836_800);
        let lifetime = Lifetime::new(begin, begin.plus(Duration::from_hours(24 * 365 * 60))).unwrap();
        let dns = SERVER_NAMES.iter().flatten().map(|name| rcgen::SanType::DnsName((*name).try_into().unwrap()));
        let also: Vec<rcgen::SanType> = dns.chain([rcgen::SanType::IpAddress(Ipv4Addr::LOCALHOST.into())]).collect();
        let is_server = uri.ends_with("/server");
        self.ca
            .leaf(uri, lifetime)
            .with(|params| params.subject_alt_names.extend(if is_server { also } else { vec![] }))
            .issue()
    }

    fn client(&self, identity: &str) -> ClientConfig {
        let leaf = self.leaf(identity);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.ca.root_der().to_vec())).unwrap();
        let key = PrivateKeyDer::from_pem_slice(leaf.key().to_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let chain = vec![CertificateDer::from(leaf.der().to_vec())];
        let mut config = config.with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}

/// A listener: a port, whether it wants certificates, and what it does to paths.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Door {
    pub(crate) port: u16,
    pub(crate) tls: bool,
    pub(crate) mode: usize,
}

/// Starts an Envoy that knows every set at every door of its mode.
pub(crate) fn start(
    workdir: &Workdir,
    names: &Names,
    doors: &[Door],
    sets: &[Set],
    tokens: &(Filter, Vec<Value>),
) -> Envoy {
    let listeners: Vec<Value> = doors.iter().map(|door| listener(names, *door, sets, tokens)).collect();
    let mut envoy = Envoy::start(workdir, "oracle", json!({"static_resources": {"listeners": listeners}}));
    envoy.wait_ready(PATIENCE);
    envoy
}

fn listener(names: &Names, door: Door, sets: &[Set], tokens: &(Filter, Vec<Value>)) -> Value {
    let here = sets.iter().enumerate().filter(|(_, set)| set.mode == door.mode);
    let mut routes: Vec<Value> = Vec::new();
    routes.extend(here.map(|(index, set)| {
        let mut filters = set.route.clone();
        if let Some(settings) = set.tokens {
            filters.insert(tokens.0.name.clone(), tokens.1[settings].clone());
        }
        json!({
            "match": {"prefix": "/", "headers": [{"name": WHICH, "string_match": {"exact": index.to_string()}}]},
            "direct_response": {"status": 200},
            "typed_per_filter_config": filters,
        })
    }));
    routes.push(json!({"match": {"prefix": "/"}, "direct_response": {"status": 200}}));
    let path = json!({"header": {"key": "x-path", "value": "%REQ(:PATH)%"}});
    let mut http_filters = vec![serde_json::to_value(&tokens.0).unwrap()];
    http_filters.extend(Slot::ALL.map(|slot| serde_json::to_value(slot.filter()).unwrap()));
    let router = json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"});
    http_filters.push(json!({"name": "router", "typed_config": router}));
    let details = json!({"header": {"key": "x-details", "value": "%RESPONSE_CODE_DETAILS%"}});
    let any_error = json!({"comparison": {"op": "GE", "value": {"default_value": 400, "runtime_key": "none"}}});
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "oracle",
        "original_ip_detection_extensions": [{
            "name": "xff",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig",
                "xff_num_trusted_hops": 0,
            },
        }],
        "local_reply_config": {"mappers": [{"filter": {"status_code_filter": any_error}, "headers_to_add": [details]}]},
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes, "response_headers_to_add": [path]}]},
        "http_filters": http_filters,
    });
    // What Istio sets for each mode.
    manager["normalize_path"] = json!(door.mode > 0);
    manager["merge_slashes"] = json!(door.mode > 1);
    if door.mode > 2 {
        manager["path_with_escaped_slashes_action"] = json!("UNESCAPE_AND_FORWARD");
    }
    let mut chain = json!({"filters": [{"name": "http", "typed_config": manager}]});
    if door.tls {
        chain["transport_socket"] = transport(names);
    }
    let inspector =
        json!({"@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"});
    json!({
        "name": format!("door-{}", door.port),
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": door.port}},
        "listener_filters": [{"name": "tls_inspector", "typed_config": inspector}],
        "filter_chains": [chain],
    })
}

/// What a listener needs to ask for certificates.
pub(crate) fn transport(names: &Names) -> Value {
    let leaf = names.leaf("spiffe://td1/server");
    json!({"name": "tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": true,
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_certificates": [{
                "certificate_chain": {"inline_string": leaf.chain_pem()},
                "private_key": {"inline_string": *leaf.key().to_pem()},
            }],
            "validation_context": {"trusted_ca": {"inline_string": names.ca.root_pem()}},
        },
    }})
}

/// Requests of one line, each with its number and the number of its set.
pub(crate) type Batch = Vec<(usize, usize, Ask)>;

/// Asks everything, each line on a connection of its own, and returns the answers by number.
pub(crate) fn ask_all(names: &Names, lines: Vec<(Line, Batch)>) -> Vec<(usize, Answer)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut answers = Vec::new();
    runtime.block_on(async {
        let mut left: VecDeque<(Line, Batch)> = lines.into();
        let mut running = JoinSet::new();
        loop {
            while running.len() < 8
                && let Some((line, batch)) = left.pop_front()
            {
                let config = line.identity.map(|identity| names.client(identity));
                running.spawn(ask_line(line, config, batch));
            }
            let Some(done) = running.join_next().await else { break };
            answers.extend(done.unwrap());
        }
    });
    answers
}

/// Opens a connection and says something: whether it is said back.
pub(crate) async fn knock(names: &Names, line: &Line) -> bool {
    let stream = connect(line).await;
    match line.identity.map(|identity| names.client(identity)) {
        None => is_echoed(stream).await,
        Some(config) => is_echoed(secure(line, config, stream).await).await,
    }
}

async fn is_echoed(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> bool {
    let mut echo = [0];
    // A connection that is refused may end before or after it was written to.
    stream.write_all(b"?").await.is_ok() && stream.read_exact(&mut echo).await.is_ok()
}

async fn connect(line: &Line) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((line.source, 0))).unwrap();
    let stream = socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, line.port))).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

async fn secure(line: &Line, config: ClientConfig, stream: TcpStream) -> TlsStream<TcpStream> {
    let address = || ServerName::IpAddress(Ipv4Addr::LOCALHOST.into());
    let name = line.server_name.map_or_else(address, |name| name.try_into().unwrap());
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

async fn ask_line(line: Line, config: Option<ClientConfig>, batch: Batch) -> Vec<(usize, Answer)> {
    let stream = connect(&line).await;
    match config {
        None => exchange(stream, batch).await,
        Some(config) => exchange(secure(&line, config, stream).await, batch).await,
    }
}

async fn exchange(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, batch: Batch) -> Vec<(usize, Answer)> {
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let mut tasks = JoinSet::new();
    let left = Arc::new(Mutex::new(VecDeque::from(batch)));
    for _ in 0..AT_ONCE {
        let (left, mut sender) = (Arc::clone(&left), sender.clone());
        tasks.spawn(async move {
            let mut answers = Vec::new();
            loop {
                let next = left.lock().unwrap().pop_front();
                let Some((number, set, ask)) = next else { return answers };
                answers.push((number, send(&mut sender, set, &ask).await));
            }
        });
    }
    drop(sender);
    let mut connection = std::pin::pin!(connection);
    let mut answers = Vec::new();
    loop {
        tokio::select! {
            ended = &mut connection, if !tasks.is_empty() => ended.expect("the connection stays"),
            done = tasks.join_next() => match done {
                Some(done) => answers.extend(done.unwrap()),
                None => return answers,
            },
        }
    }
}

async fn send(sender: &mut SendRequest<Empty<Bytes>>, set: usize, ask: &Ask) -> Answer {
    let uri = http::Uri::builder().scheme("http").authority(ask.host).path_and_query(ask.path.as_str());
    let uri = uri.build().unwrap_or_else(|error| panic!("{}: {error}", ask.path));
    let mut request = Request::builder().method(ask.method).uri(uri).header(WHICH, set.to_string());
    for (name, value) in &ask.headers {
        request = request.header(*name, value);
    }
    let response = sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
    let header =
        |name: &str| response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let details = header("x-details").or_else(|| header("x-path")).unwrap_or_default();
    let status = response.status().as_u16();
    response.into_body().collect().await.unwrap();
    Answer { status, details }
}

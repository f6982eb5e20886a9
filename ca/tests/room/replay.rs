//! What Istio's own clients put on the wire, byte by byte, and what they check in the answer.
//!
//! Nothing here is encoded by our own client: the certificate request, the protobuf message, the gRPC frame and the
//! headers are written out as pilot-agent and ztunnel write them, and the answer is taken apart as they do.

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use signet_identity::{Certificate, PrivateKey, SignatureAlgorithm, der, pem};
use signet_testkit::keys;
use tokio::net::TcpStream;
use yasna::Tag;
use yasna::models::ObjectIdentifier;

use crate::lab::{HOUR, Lab, Setup, WEB, certificates, now};
use crate::objects::Objects;
use crate::tls;

/// A name with one organization of no letters, as Go writes it: pilot-agent's subject.
const GO_EMPTY_ORGANIZATION: &[u8] = &[0x30, 0x0b, 0x31, 0x09, 0x30, 0x07, 0x06, 0x03, 0x55, 0x04, 0x0a, 0x13, 0x00];

/// The empty name: ztunnel's subject.
const NO_NAME: &[u8] = &[0x30, 0x00];

const DAY_VARINT: &[u8] = &[0x80, 0xa3, 0x05];

/// A request with `subject`, one URI name that is critical or not, and nothing else.
fn csr(key: &PrivateKey, subject: &[u8], uri: &str, critical: bool) -> String {
    let info = yasna::construct_der(|writer| {
        writer.write_sequence(|fields| {
            fields.next().write_u8(0);
            fields.next().write_der(subject);
            fields.next().write_der(key.public().spki_der());
            fields.next().write_tagged_implicit(Tag::context(0), |writer| {
                writer.write_set(|attributes| {
                    attributes.next().write_sequence(|attribute| {
                        let extension_request: &[u64] = &[1, 2, 840, 113_549, 1, 9, 14];
                        attribute.next().write_oid(&ObjectIdentifier::from_slice(extension_request));
                        attribute.next().write_set(|values| {
                            values.next().write_sequence(|extensions| {
                                let mut name = vec![0x86, u8::try_from(uri.len()).unwrap()];
                                name.extend_from_slice(uri.as_bytes());
                                let names = yasna::construct_der(|writer| {
                                    writer.write_sequence(|names| names.next().write_der(&name));
                                });
                                der::write_extension(extensions.next(), &[2, 5, 29, 17], critical, &names);
                            });
                        });
                    });
                });
            });
        });
    });
    let signer = key.signer().unwrap();
    let algorithm: SignatureAlgorithm = signer.algorithm();
    pem::encode("CERTIFICATE REQUEST", &der::signed(&info, algorithm, &signer.sign(&info).unwrap()))
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut octets = Vec::new();
    while number >= 0x80 {
        octets.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    octets.push(number as u8);
    octets
}

/// A field of wire type 2.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(content.len()), content].concat()
}

/// An `IstioCertificateRequest` that wishes for a day: csr, `validity_duration`, one entry of `metadata`.
fn message(csr: &str, metadata: Option<(&str, &str)>) -> Vec<u8> {
    let mut message = field(1, csr.as_bytes());
    message.push(3 << 3);
    message.extend_from_slice(DAY_VARINT);
    if let Some((key, value)) = metadata {
        // Struct.fields is a map: entries of key (1) and value (2); a Value that is text holds it in field 3.
        let entry = [field(1, key.as_bytes()), field(2, &field(3, value.as_bytes()))].concat();
        message.extend(field(4, &field(1, &entry)));
    }
    message
}

struct Answer {
    headers: HeaderMap,
    /// The elements of `cert_chain`, as they came.
    chain: Vec<String>,
}

impl Answer {
    fn status(&self) -> (&str, String) {
        let header = |name| self.headers.get(name).map_or("", |value| value.to_str().unwrap());
        (header("grpc-status"), header("grpc-message").replace("%20", " "))
    }
}

/// Sends one framed message with these headers over HTTP/2 in TLS to the name that istiod has.
async fn call(lab: &Lab, message: &[u8], headers: &[(&str, &str)]) -> Answer {
    let stream = TcpStream::connect(lab.listen).await.unwrap();
    let stream = tls::shake_hands(tls::http2(&lab.roots_pem), stream, "istiod.istio-system.svc").await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let mut running = tokio::task::JoinSet::new();
    running.spawn(connection);
    let framed = [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat();
    let mut request =
        Request::post("https://istiod.istio-system.svc:15012/istio.v1.auth.IstioCertificateService/CreateCertificate");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = sender.send_request(request.body(Full::new(Bytes::from(framed))).unwrap()).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"application/grpc".parse().unwrap())
    );
    let mut headers = answer.headers().clone();
    let body = answer.into_body().collect().await.unwrap();
    headers.extend(body.trailers().cloned().unwrap_or_default());
    Answer { headers, chain: elements(&body.to_bytes()) }
}

/// The strings in field 1 of a framed message; nothing else may stand there.
fn elements(framed: &[u8]) -> Vec<String> {
    let Some((head, mut rest)) = framed.split_at_checked(5) else { return Vec::new() };
    assert_eq!(
        (head[0], u32::from_be_bytes(head[1..].try_into().unwrap()) as usize),
        (0, rest.len()),
        "one plain frame"
    );
    let mut found = Vec::new();
    while let Some((tag, after)) = rest.split_first() {
        assert_eq!(*tag, 1 << 3 | 2, "only cert_chain is known to clients");
        let digits = after.iter().position(|octet| octet & 0x80 == 0).unwrap() + 1;
        let len = after[..digits].iter().rev().fold(0, |sum, octet| sum << 7 | usize::from(octet & 0x7f));
        let (text, after) = after[digits..].split_at(len);
        found.push(String::from_utf8(text.to_vec()).unwrap());
        rest = after;
    }
    found
}

fn pilot_agent<'a>(authorization: &'a str, cluster: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("content-type", "application/grpc"),
        ("user-agent", "grpc-go/1.76.0"),
        ("te", "trailers"),
        ("authorization", authorization),
        ("clusterid", cluster),
    ]
}

fn ztunnel<'a>(authorization: &'a str, cluster: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("authorization", authorization),
        ("clusterid", cluster),
        ("user-agent", "tonic/0.14.2"),
    ]
}

/// What pilot-agent looks at: two elements at least, a leaf whose end it can read, roots in the last.
fn check_as_pilot_agent(lab: &Lab, chain: &[String], key: &PrivateKey) {
    assert!(chain.len() >= 2, "{chain:?}");
    let leaf = certificates(&chain[0]).remove(0);
    assert_eq!(leaf.public_key(), key.public());
    let left = leaf.lifetime().not_after().unix_secs() - lab.now().unix_secs();
    assert!((86_395..=86_400).contains(&left), "{left}");
    assert_eq!(*chain.last().unwrap(), lab.roots_pem);
    // Envoy is given all of it in one.
    assert_eq!(certificates(&chain.concat()).len(), chain.len());
}

/// What ztunnel looks at: the leaf's first URI name, one certificate in each element between, roots in the last.
fn check_as_ztunnel(chain: &[String], id: &str) {
    let (leaf, rest) = chain.split_first().unwrap();
    let (roots, between) = rest.split_last().expect("ztunnel refuses an answer without roots");
    assert_eq!(certificates(leaf)[0].uris()[0], id);
    assert!(between.iter().all(|element| certificates(element).len() == 1));
    assert!(certificates(roots).iter().all(Certificate::is_ca));
}

#[tokio::test]
async fn a_sidecars_first_request_is_answered_as_by_istiod() {
    let lab = Lab::start().await;
    let bearer = format!("Bearer {}", lab.token());
    let (rsa, p256, p384) =
        (keys::rsa_2048(), PrivateKey::generate_p256().unwrap(), PrivateKey::generate_p384().unwrap());
    for key in [rsa, p256, p384] {
        let csr = csr(&key, GO_EMPTY_ORGANIZATION, WEB, true);
        // It always sends the key, without a value unless one is configured.
        let message = message(&csr, Some(("CertSigner", "")));
        let answer = call(&lab, &message, &pilot_agent(&bearer, "Kubernetes")).await;
        assert_eq!(answer.status(), ("0", String::new()));
        check_as_pilot_agent(&lab, &answer.chain, &key);
        check_as_ztunnel(&answer.chain, WEB);
        let leaf = certificates(&answer.chain[0]).remove(0);
        assert_eq!(leaf.subject_der(), NO_NAME, "an organization is no common name");
    }
}

#[tokio::test]
async fn headers_that_an_operator_adds_to_a_sidecar_change_nothing() {
    let lab = Lab::start().await;
    let (bearer, key) = (format!("Bearer {}", lab.token()), PrivateKey::generate_p256().unwrap());
    let message = message(&csr(&key, GO_EMPTY_ORGANIZATION, WEB, true), Some(("CertSigner", "")));
    let mut headers = pilot_agent(&bearer, "");
    headers.extend([("x-tenant", "a"), ("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/kube-system/sa/x")]);
    let answer = call(&lab, &message, &headers).await;
    check_as_ztunnel(&answer.chain, WEB);
}

#[tokio::test]
async fn ztunnel_gets_its_own_identity_and_those_of_its_pods() {
    let setup = Setup::new().with("node_proxies", "'mesh/ztunnel'");
    let claims = |namespace, account| setup.issuer.claims(namespace, account, now(), HOUR);
    let (proxy, web) = (claims("mesh", "ztunnel"), claims("shop", "web"));
    let bearer = format!("Bearer {}", setup.issuer.sign(&proxy));
    let objects = Objects::of(&[&proxy, &web], now());
    let lab = setup.with_link("Kubernetes", objects.link.clone()).start().await;
    // Whether the name is critical depends on the library that ztunnel was built with.
    for critical in [true, false] {
        let key = PrivateKey::generate_p256().unwrap();
        let own = message(&csr(&key, NO_NAME, "spiffe://cluster.local/ns/mesh/sa/ztunnel", critical), None);
        let answer = call(&lab, &own, &ztunnel(&bearer, "Kubernetes")).await;
        check_as_ztunnel(&answer.chain, "spiffe://cluster.local/ns/mesh/sa/ztunnel");

        let of_web = message(&csr(&key, NO_NAME, WEB, critical), Some(("ImpersonatedIdentity", WEB)));
        for cluster in ["Kubernetes", ""] {
            let answer = call(&lab, &of_web, &ztunnel(&bearer, cluster)).await;
            assert_eq!(answer.status(), ("0", String::new()));
            check_as_ztunnel(&answer.chain, WEB);
        }
    }
}

#[tokio::test]
async fn refusals_reach_istios_clients_in_their_own_words() {
    let lab = Lab::start().await;
    let key = PrivateKey::generate_p256().unwrap();
    let good = csr(&key, NO_NAME, WEB, true);
    let bearer = format!("Bearer {}", lab.token());
    let authentication = ("16", "request authenticate failure".to_owned());
    let impersonation = ("16", "request impersonation authentication failure".to_owned());
    for (message, headers, wanted) in [
        (message(&good, None), pilot_agent("Bearer x.y.z", "Kubernetes"), authentication.clone()),
        (message(&good, None), pilot_agent("Bearer ", "Kubernetes"), authentication.clone()),
        (message(&good, None), pilot_agent(&bearer, "elsewhere"), authentication),
        (message(&good, Some(("ImpersonatedIdentity", WEB))), ztunnel(&bearer, "Kubernetes"), impersonation),
        (
            message("nonsense", None),
            ztunnel(&bearer, "Kubernetes"),
            ("3", "CSR signing error (certificate request is not usable PEM: no PEM block found)".to_owned()),
        ),
        (vec![0xff], ztunnel(&bearer, "Kubernetes"), ("13", String::new())),
    ] {
        let answer = call(&lab, &message, &headers).await;
        assert!(answer.chain.is_empty());
        let (code, text) = answer.status();
        assert_eq!(code, wanted.0, "{text}");
        assert!(wanted.1.is_empty() || text == wanted.1, "{text}");
        assert!(answer.headers.contains_key("x-request-id"));
    }
}

//! Chains made by another encoder, judged by trust bundles and taken as SVIDs: what must hold and what must not.

// So that the linter takes the helpers here for tests, which they are.
#![cfg(test)]

use std::time::Duration;

use rcgen::{ExtendedKeyUsagePurpose, GeneralSubtree, KeyUsagePurpose, NameConstraints};
use signet_identity::bundle::BUNDLE_MAX_ROOTS;
use signet_identity::certificate::LeafError;
use signet_identity::svid::CHAIN_MAX_CERTIFICATES;
use signet_identity::{
    BundleError, Certificate, Lifetime, PrivateKey, SpiffeIdError, Svid, SvidError, Timestamp, TrustBundle, VerifyError,
};
use signet_testkit::{IssuedLeaf, LeafBuilder, TestCa, knobs};

const NOW: Timestamp = Timestamp::from_unix_secs(1_790_000_000);
const HOME: &str = "cluster.local";
const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";
const HOUR: Duration = Duration::from_secs(3600);

fn hour_from(start: Timestamp) -> Lifetime {
    Lifetime::new(start, start.plus(HOUR)).unwrap()
}

fn leaf<'a>(ca: &'a TestCa, uri: &str) -> LeafBuilder<'a> {
    ca.leaf(uri, hour_from(NOW))
}

fn web(ca: &TestCa) -> LeafBuilder<'_> {
    leaf(ca, WEB)
}

/// What a bundle says of a chain, and what comes of making it an SVID, in words short enough for a table.
fn check(name: &str, ca: &TestCa, leaf: LeafBuilder<'_>, bundle_says: Verdict, as_svid: Verdict) {
    let issued = leaf.issue();
    let bundle = match ca.bundle().verify(&issued.chain(), NOW) {
        Ok(id) => {
            assert_eq!(id.as_str(), WEB, "{name}");
            Holds
        }
        Err(error) => Verdict::of_verification(&error),
    };
    let svid = match Svid::new(issued.chain(), issued.key()) {
        Ok(svid) => {
            assert_eq!([svid.id().as_str()], svid.leaf().uris(), "{name}");
            Holds
        }
        Err(SvidError::Leaf(error)) => Verdict::Leaf(error),
        Err(error) => Verdict::Svid(error),
    };
    assert_eq!((bundle, svid), (bundle_says, as_svid), "{name}");
}

/// An outcome without the details that differ from run to run.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Holds,
    Leaf(LeafError),
    Svid(SvidError),
    OtherDomain,
    IntermediateDomain,
    IntermediateUsage,
    NoValidRoot,
    TooLong,
    Empty,
    Path(String),
}

impl Verdict {
    fn of_verification(error: &VerifyError) -> Self {
        match error {
            VerifyError::Leaf(error) => Self::Leaf(error.clone()),
            VerifyError::TrustDomain { .. } => Self::OtherDomain,
            VerifyError::IntermediateDomain { .. } => Self::IntermediateDomain,
            VerifyError::IntermediateUsage { .. } => Self::IntermediateUsage,
            VerifyError::NoValidRoot { .. } => Self::NoValidRoot,
            VerifyError::TooLong => Self::TooLong,
            VerifyError::Empty => Self::Empty,
            // Some reasons carry numbers; the first word names the rule.
            VerifyError::Path { reason, .. } => {
                Self::Path(reason.chars().take_while(|c| c.is_ascii_alphanumeric()).collect())
            }
        }
    }
}

use Verdict::{Holds, IntermediateDomain, IntermediateUsage, OtherDomain};

fn path(reason: &str) -> Verdict {
    Verdict::Path(reason.to_owned())
}

#[test]
fn leaves_as_the_standard_wants_them_hold() {
    let root = TestCa::root(HOME);
    check("below a root", &root, web(&root), Holds, Holds);
    let lower = root.intermediate().intermediate();
    check("below two intermediates", &root, web(&lower), Holds, Holds);
    let rsa = TestCa::rsa_root(HOME);
    check("below an RSA root", &rsa, web(&rsa), Holds, Holds);
    check("with a DNS name beside the id", &root, web(&root).with(knobs::add_dns("web.shop.svc")), Holds, Holds);
    check("without basic constraints", &root, web(&root).with(knobs::no_basic_constraints), Holds, Holds);
    check("without authority key identifier", &root, web(&root).with(knobs::no_authority_key_id), Holds, Holds);
    check("without extended key usage", &root, web(&root).with(knobs::extended_key_usages(&[])), Holds, Holds);
    check("without key usage", &root, web(&root).with(knobs::key_usages(&[])), Holds, Holds);
    check("key usage not critical", &root, web(&root).with(knobs::key_usage_not_critical), Holds, Holds);
    let old = TestCa::root_with(HOME, knobs::no_subject_key_id);
    check("below a root without key identifier", &old, web(&old), Holds, Holds);
    let nameless = TestCa::root_with(HOME, knobs::no_names);
    check("below a root without names", &nameless, web(&nameless), Holds, Holds);
}

#[test]
fn leaves_that_do_not_name_one_workload_are_refused() {
    let root = TestCa::root(HOME);
    let refused = |name: &str, leaf: LeafBuilder<'_>, error: LeafError| {
        check(name, &root, leaf, Verdict::Leaf(error.clone()), Verdict::Leaf(error));
    };
    let count = |count| LeafError::UriCount { count };
    refused("no name at all", web(&root).with(knobs::no_names), count(0));
    refused("two ids", web(&root).with(knobs::add_uri("spiffe://cluster.local/ns/shop/sa/orders")), count(2));
    refused("the same id twice", web(&root).with(knobs::add_uri(WEB)), count(2));
    refused("an id and a web address", web(&root).with(knobs::add_uri("https://example.org/")), count(2));
    refused("an id and a URI that is empty", web(&root).with(knobs::add_uri("")), count(2));
    let only_dns = web(&root).with(knobs::no_names).with(knobs::add_dns("web.shop.svc"));
    refused("a DNS name only", only_dns, count(0));
    let only_common_name = web(&root).with(knobs::no_names).with(|params| {
        params.distinguished_name.push(rcgen::DnType::CommonName, WEB);
    });
    refused("the id in the common name only", only_common_name, count(0));
    refused("no path", leaf(&root, "spiffe://cluster.local"), LeafError::NoPath);
    refused("a web address", leaf(&root, "https://cluster.local/ns/shop"), SpiffeIdError::Scheme.into());
    refused("a bare slash", leaf(&root, "spiffe://cluster.local/"), SpiffeIdError::TrailingSlash.into());
    let upper_case = SpiffeIdError::TrustDomainCharacter { character: 'C', position: 9 };
    refused("upper case", leaf(&root, "spiffe://Cluster.local/ns/shop/sa/web"), upper_case.into());
    let zero_octet = SpiffeIdError::PathCharacter { character: '\0', position: 37 };
    refused("a zero octet behind the id", leaf(&root, &format!("{WEB}\0")), zero_octet.into());
    refused("a CA certificate", web(&root).with(knobs::ca), LeafError::Authority);
    refused("certificate signing", web(&root).with(knobs::key_cert_sign), LeafError::KeyUsage);
    refused("revocation list signing", web(&root).with(knobs::crl_sign), LeafError::KeyUsage);
}

#[test]
fn usages_that_cannot_serve_tls_make_no_svid() {
    use ExtendedKeyUsagePurpose::{ClientAuth, EmailProtection, ServerAuth};
    let root = TestCa::root(HOME);
    let no_usage = || Verdict::Svid(SvidError::Usage);
    let purposes = |purposes: &[ExtendedKeyUsagePurpose]| web(&root).with(knobs::extended_key_usages(purposes));
    check("clients only", &root, purposes(&[ClientAuth]), Holds, no_usage());
    check("servers only", &root, purposes(&[ServerAuth]), path("RequiredEkuNotFoundContext"), no_usage());
    check("mail only", &root, purposes(&[EmailProtection]), path("RequiredEkuNotFoundContext"), no_usage());
    let agreement = web(&root).with(knobs::key_usages(&[KeyUsagePurpose::KeyAgreement]));
    check("key agreement only", &root, agreement, Holds, no_usage());
}

#[test]
fn leaves_out_of_their_time_are_refused_to_the_second() {
    let root = TestCa::root(HOME);
    let second = Duration::from_secs(1);
    let from = |start: Timestamp| root.leaf(WEB, hour_from(start));
    check("first second", &root, from(NOW), Holds, Holds);
    check("last second", &root, from(NOW.minus(HOUR)), Holds, Holds);
    check("one second early", &root, from(NOW.plus(second)), path("CertNotValidYet"), Holds);
    check("one second late", &root, from(NOW.minus(HOUR + second)), path("CertExpired"), Holds);
}

#[test]
fn authorities_out_of_their_time_are_refused() {
    let early = Lifetime::new(NOW.minus(2 * HOUR), NOW.minus(HOUR)).unwrap();
    let late = Lifetime::new(NOW.plus(HOUR), NOW.plus(2 * HOUR)).unwrap();
    let root = TestCa::root(HOME);
    for (name, lifetime, reason) in [("expired", early, "CertExpired"), ("not valid yet", late, "CertNotValidYet")] {
        let lower = root.intermediate_with(knobs::lifetime(lifetime));
        check(&format!("{name} intermediate"), &root, web(&lower), path(reason), Holds);
        let spent = TestCa::root_with(HOME, knobs::lifetime(lifetime));
        check(&format!("{name} root"), &spent, web(&spent), Verdict::NoValidRoot, Holds);
    }
}

#[test]
fn what_is_signed_by_anybody_else_is_refused() {
    let root = TestCa::root(HOME);
    let stranger = TestCa::root(HOME);
    check("another root of the same domain", &root, web(&stranger), path("UnknownIssuer"), Holds);
    let twin = TestCa::root_with(HOME, |params| {
        params.distinguished_name = distinguished_name(&root.certificate());
    });
    check("another root of the same name", &root, web(&twin), path("InvalidSignatureForPublicKey"), Holds);
    let abroad = TestCa::root("example.org");
    let theirs = || leaf(&abroad, "spiffe://example.org/ns/shop/sa/web");
    check("another domain's workload", &root, theirs(), OtherDomain, Holds);
    check("an id that only begins like ours", &root, leaf(&root, "spiffe://cluster.local.evil/x"), OtherDomain, Holds);
}

/// The subject of one certificate, to give it to another.
fn distinguished_name(certificate: &Certificate) -> rcgen::DistinguishedName {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate.der()).unwrap();
    let mut name = rcgen::DistinguishedName::new();
    name.push(rcgen::DnType::OrganizationName, HOME);
    name.push(rcgen::DnType::CommonName, parsed.subject().iter_common_name().next().unwrap().as_str().unwrap());
    name
}

#[test]
fn intermediates_that_may_not_sign_are_refused() {
    let root = TestCa::root(HOME);
    let below = |change: fn(&mut rcgen::CertificateParams)| root.intermediate_with(change);
    check("CA:FALSE", &root, web(&below(knobs::not_ca)), IntermediateUsage, Holds);
    check("no basic constraints", &root, web(&below(knobs::no_basic_constraints)), IntermediateUsage, Holds);
    let crl_only = root.intermediate_with(knobs::key_usages(&[KeyUsagePurpose::CrlSign]));
    check("no certificate signing", &root, web(&crl_only), IntermediateUsage, Holds);
    let no_usage = root.intermediate_with(knobs::key_usages(&[]));
    check("no key usage at all, as RFC 5280 allows", &root, web(&no_usage), Holds, Holds);
    let abroad = root.intermediate_with(|params| {
        knobs::no_names(params);
        knobs::add_uri("spiffe://example.org")(params);
    });
    check("another domain's intermediate", &root, web(&abroad), IntermediateDomain, Holds);
    let workload = root.intermediate_with(knobs::add_uri(WEB));
    check("an intermediate with a workload's name", &root, web(&workload), IntermediateDomain, Holds);
}

#[test]
fn paths_longer_than_an_authority_allows_are_refused() {
    let too_long = || path("PathLenConstraintViolated");
    let root = TestCa::root_with(HOME, knobs::path_len(0));
    check("as long as the root allows", &root, web(&root), Holds, Holds);
    check("longer than the root allows", &root, web(&root.intermediate()), too_long(), Holds);
    let root = TestCa::root(HOME);
    let last = root.intermediate_with(knobs::path_len(0));
    check("as long as the intermediate allows", &root, web(&last), Holds, Holds);
    check("longer than the intermediate allows", &root, web(&last.intermediate()), too_long(), Holds);
}

#[test]
fn name_constraints_and_unknown_critical_extensions_are_never_passed_over() {
    let root = TestCa::root(HOME);
    let constrained = root.intermediate_with(|params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("example.org".to_owned())],
            excluded_subtrees: vec![],
        });
    });
    let outside = web(&constrained).with(knobs::add_dns("web.shop.svc"));
    check("a name outside the constraints", &root, outside, path("NameConstraintViolation"), Holds);
    let unknown = knobs::add_critical_extension(&[1, 2, 3, 4], vec![5, 0]);
    let reason = "UnsupportedCriticalExtension";
    check("an unknown critical extension", &root, web(&root).with(unknown), path(reason), Holds);
}

#[test]
fn a_chain_in_the_wrong_order_or_with_a_gap_makes_no_svid() {
    let root = TestCa::root(HOME);
    let issued = web(&root.intermediate().intermediate()).issue();
    let chain = |order: &[usize]| order.iter().map(|at| issued.chain()[*at].clone()).collect::<Vec<_>>();
    let made = |order: &[usize]| Svid::new(chain(order), issued.key()).err();
    assert_eq!(made(&[0, 1, 2]), None);
    assert_eq!(made(&[0]), None);
    assert_eq!(made(&[]), Some(SvidError::Empty));
    assert_eq!(made(&[0, 2, 1]), Some(SvidError::Order { position: 0 }));
    assert_eq!(made(&[0, 1, 1]), Some(SvidError::Order { position: 1 }));
    assert_eq!(made(&[1, 2]), Some(SvidError::Leaf(LeafError::Authority)));
    let with_root = [issued.chain(), vec![root.certificate()]].concat();
    assert_eq!(Svid::new(with_root.clone(), issued.key()).unwrap().intermediates().len(), 3);
    assert_eq!(root.bundle().verify(&with_root, NOW).unwrap().as_str(), WEB);
}

#[test]
fn a_chain_with_a_missing_link_is_not_trusted() {
    let root = TestCa::root(HOME);
    let chain = web(&root.intermediate().intermediate()).issue().chain();
    let verdict = |chain: &[Certificate]| {
        root.bundle().verify(chain, NOW).map_or_else(|error| Verdict::of_verification(&error), |_| Holds)
    };
    assert_eq!(verdict(&chain), Holds);
    assert_eq!(verdict(&[]), Verdict::Empty);
    assert_eq!(verdict(&chain[..2]), path("UnknownIssuer"));
    assert_eq!(verdict(&chain[..1]), path("UnknownIssuer"));
}

#[test]
fn chains_are_bounded() {
    let root = TestCa::root(HOME);
    let issued = web(&root).issue();
    let padded = |count: usize| [issued.chain(), vec![root.certificate(); count - 1]].concat();
    let most = CHAIN_MAX_CERTIFICATES;
    assert!(root.bundle().verify(&padded(most), NOW).is_ok());
    assert_eq!(root.bundle().verify(&padded(most + 1), NOW), Err(VerifyError::TooLong));
    assert_eq!(Svid::new(padded(most + 1), issued.key()).err(), Some(SvidError::TooLong { count: most + 1 }));
}

#[test]
fn a_key_that_is_not_the_leafs_makes_no_svid() {
    let issued = web(&TestCa::root(HOME)).issue();
    let other = PrivateKey::generate_p256().unwrap();
    assert_eq!(Svid::new(issued.chain(), other).err(), Some(SvidError::KeyMismatch));
}

#[test]
fn signatures_by_old_digests_are_refused() {
    let root = TestCa::root(HOME);
    let issued = web(&root).issue();
    let ecdsa_with_sha256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let ecdsa_with_sha224 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x01];
    let old = replaced(issued.der(), &ecdsa_with_sha256, &ecdsa_with_sha224);
    let chain = [Certificate::from_der(&old).unwrap()];
    let verdict = root.bundle().verify(&chain, NOW).map_err(|error| Verdict::of_verification(&error));
    assert_eq!(verdict, Err(path("UnsupportedSignatureAlgorithmContext")));
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    assert_eq!(places.len(), 2, "a certificate names its algorithm twice");
    places.iter().for_each(|at| out[*at..at + from.len()].copy_from_slice(to));
    out
}

#[test]
fn a_bundle_holds_authorities_only_each_once_and_never_none() {
    let root = TestCa::root(HOME);
    let bundle = |roots: Vec<Certificate>| TrustBundle::new(root.trust_domain().clone(), roots);
    assert_eq!(bundle(vec![]).err(), Some(BundleError::Empty));
    let leaf = web(&root).issue().certificate();
    let serial = leaf.serial().to_string();
    assert_eq!(bundle(vec![root.certificate(), leaf]).err(), Some(BundleError::NotAuthority { serial }));
    let no_signing = TestCa::root_with(HOME, knobs::key_usages(&[KeyUsagePurpose::CrlSign])).certificate();
    let serial = no_signing.serial().to_string();
    assert_eq!(bundle(vec![no_signing]).err(), Some(BundleError::NotAuthority { serial }));
    let twice = bundle(vec![root.certificate(), root.certificate()]).unwrap();
    assert_eq!(twice.roots(), [root.certificate()]);
    assert_eq!(twice, root.bundle());
    assert_eq!(bundle(vec![root.certificate(); BUNDLE_MAX_ROOTS + 1]).unwrap().roots().len(), 1);
}

#[test]
fn a_bundle_is_the_same_set_in_whatever_order_and_trusts_each_of_its_roots() {
    let (one, two) = (TestCa::root(HOME), TestCa::root(HOME));
    let bundle = |roots: [&TestCa; 2]| {
        let text: String = roots.iter().map(|root| root.pem()).collect();
        TrustBundle::from_pem(one.trust_domain().clone(), text.as_bytes()).unwrap()
    };
    let (there, back) = (bundle([&one, &two]), bundle([&two, &one]));
    assert_eq!(there.digest(), back.digest());
    assert_ne!(there.digest(), one.bundle().digest());
    for root in [&one, &two] {
        assert_eq!(there.verify(&web(root).issue().chain(), NOW).unwrap().as_str(), WEB);
    }
    assert_eq!(TrustBundle::from_pem(one.trust_domain().clone(), there.to_pem().as_bytes()).as_ref(), Ok(&there));
}

#[test]
fn an_expired_root_does_not_spoil_the_ones_beside_it() {
    let past = Lifetime::new(NOW.minus(2 * HOUR), NOW.minus(HOUR)).unwrap();
    let (old, new) = (TestCa::root_with(HOME, knobs::lifetime(past)), TestCa::root(HOME));
    let both = TrustBundle::new(new.trust_domain().clone(), vec![old.certificate(), new.certificate()]).unwrap();
    let verdict = |issued: &IssuedLeaf| {
        both.verify(&issued.chain(), NOW).map_or_else(|error| Verdict::of_verification(&error), |_| Holds)
    };
    assert_eq!(verdict(&web(&new).issue()), Holds);
    assert_eq!(verdict(&web(&old).issue()), path("UnknownIssuer"));
}

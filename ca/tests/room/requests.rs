//! Certificate requests: what is refused, and what is asked for in vain.

use rcgen::{CertificateParams, CustomExtension, DnType, KeyPair, SanType};
use signet_identity::{PrivateKey, SignatureAlgorithm, SpiffeId, csr, der, pem};
use signet_testkit::knobs;
use tonic::Code;
use yasna::Tag;

use crate::lab::{Lab, Setup, WEB, any_csr, certificates, csr_of};

const CSR_ERRORS: &str = "citadel_server_csr_sign_err_count{error=\"CSR_ERROR\"}";

async fn check_refused(lab: &Lab, csr: &str, wanted: &str) {
    let before = lab.metric(CSR_ERRORS).await;
    let status = lab.ask(&lab.token(), csr, 60).await.expect_err(wanted);
    assert_eq!(status.code(), Code::InvalidArgument, "{wanted}");
    assert_eq!(status.message(), format!("CSR signing error ({wanted})"));
    assert_eq!(lab.metric(CSR_ERRORS).await, before + 1);
    assert_eq!(lab.metric("citadel_server_success_cert_issuance_count").await, 0);
}

fn der_of(csr: &str) -> Vec<u8> {
    pem::decode(csr.as_bytes(), 1 << 20).unwrap().remove(0).der.to_vec()
}

fn as_pem(der: &[u8]) -> String {
    pem::encode("CERTIFICATE REQUEST", der)
}

/// A request taken apart: what is signed, the algorithm, the signature.
fn parts(csr: &str) -> (Vec<u8>, Vec<u8>) {
    yasna::parse_der(&der_of(csr), |reader| {
        reader.read_sequence(|reader| {
            let info = reader.next().read_der()?;
            reader.next().read_der()?;
            Ok((info, reader.next().read_bitvec_bytes()?.0))
        })
    })
    .unwrap()
}

fn relabelled(csr: &str, algorithm: SignatureAlgorithm) -> String {
    let (info, signature) = parts(csr);
    as_pem(&der::signed(&info, algorithm, &signature))
}

#[tokio::test]
async fn what_is_not_one_pem_request_is_refused() {
    let lab = Lab::start().await;
    let (one, two) = (any_csr(), any_csr());
    let unusable = |why: &str| format!("certificate request is not usable PEM: {why}");
    check_refused(&lab, "", &unusable("no PEM block found")).await;
    check_refused(&lab, "hello", &unusable("no PEM block found")).await;
    check_refused(&lab, &one.replace("-----END", "END"), &unusable("PEM text is malformed")).await;
    check_refused(&lab, &lab.roots_pem, &unusable("PEM block is not a CERTIFICATE REQUEST")).await;
    let both = "certificate request holds 2 PEM blocks, exactly one is accepted";
    check_refused(&lab, &format!("{one}{two}"), both).await;
    let large = format!("{one}{}", "#".repeat(20_000));
    let actual = large.len();
    check_refused(&lab, &large, &unusable(&format!("PEM text has {actual} bytes, at most 16384 are accepted"))).await;
}

#[tokio::test]
async fn what_is_not_a_proof_of_possession_is_refused() {
    let lab = Lab::start().await;
    let good = der_of(&any_csr());
    check_refused(&lab, &as_pem(b"\x30\x00"), "certificate request is not well-formed PKCS#10").await;
    let trailing = [good.as_slice(), &[0]].concat();
    check_refused(&lab, &as_pem(&trailing), "certificate request is followed by 1 other bytes").await;
    let (info, _) = parts(&any_csr());
    let (_, foreign) = parts(&any_csr());
    let swapped = as_pem(&der::signed(&info, SignatureAlgorithm::EcdsaP256Sha256, &foreign));
    check_refused(&lab, &swapped, "signature of certificate request does not verify").await;
}

#[tokio::test]
async fn a_signature_algorithm_of_another_curve_is_refused() {
    let lab = Lab::start().await;
    let p256 = relabelled(&any_csr(), SignatureAlgorithm::EcdsaP384Sha384);
    let wanted = "certificate request with a P-256 key is signed with `1.2.840.10045.4.3.3`, which does not belong to \
                  that key";
    check_refused(&lab, &p256, wanted).await;
    let p384 = csr_of(&PrivateKey::generate_p384().unwrap());
    let wanted = "certificate request with a P-384 key is signed with `1.2.840.10045.4.3.2`, which does not belong to \
                  that key";
    check_refused(&lab, &relabelled(&p384, SignatureAlgorithm::EcdsaP256Sha256), wanted).await;
}

#[tokio::test]
async fn a_short_rsa_key_is_refused() {
    let lab = Lab::start().await;
    let modulus = [&[0x00, 0xc1], [0x5b; 127].as_slice()].concat();
    let key = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_bigint_bytes(&modulus, true);
            writer.next().write_u32(65537);
        });
    });
    let rsa_encryption: &[u64] = &[1, 2, 840, 113_549, 1, 1, 1];
    let info = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_u8(0);
            writer.next().write_sequence(|_| {});
            writer.next().write_sequence(|writer| {
                writer.next().write_sequence(|writer| {
                    writer.next().write_oid(&yasna::models::ObjectIdentifier::from_slice(rsa_encryption));
                    writer.next().write_null();
                });
                writer.next().write_bitvec_bytes(&key, key.len() * 8);
            });
            writer.next().write_tagged_implicit(Tag::context(0), |writer| writer.write_set(|_| {}));
        });
    });
    let csr = as_pem(&der::signed(&info, SignatureAlgorithm::RsaSha256, &[1; 128]));
    let wanted = "key in certificate request is not accepted: RSA key has 1024 bits, 2048 to 4096 are accepted";
    check_refused(&lab, &csr, wanted).await;
}

fn ed25519_csr() -> String {
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap()
}

#[tokio::test]
async fn a_kind_of_key_that_the_operator_did_not_allow_is_refused() {
    let lab = Lab::start().await;
    check_refused(&lab, &ed25519_csr(), "Ed25519 keys are not accepted here").await;
    let lab = Setup::new().with("leaf.keys", "['Ed25519']").start().await;
    check_refused(&lab, &any_csr(), "P-256 keys are not accepted here").await;
    lab.ask(&lab.token(), &ed25519_csr(), 60).await.expect("Ed25519 should be allowed");
}

#[tokio::test]
async fn a_message_over_four_mebibytes_exhausts_resources() {
    let lab = Lab::start().await;
    let status = lab.ask(&lab.token(), &"x".repeat(5 << 20), 60).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    lab.issue().await;
}

/// A request by a key of its own that asks for whatever `change` writes.
fn asking(change: impl FnOnce(&mut CertificateParams)) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    change(&mut params);
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

#[tokio::test]
async fn names_and_rights_that_a_request_asks_for_are_never_granted() {
    let lab = Lab::start().await;
    let foreign = asking(|params| {
        knobs::add_uri("spiffe://cluster.local/ns/kube-system/sa/admin")(params);
        knobs::add_uri("https://example.org")(params);
        knobs::add_dns("bank.example.org")(params);
        params.subject_alt_names.push(SanType::IpAddress([10, 0, 0, 1].into()));
    });
    let ca = asking(|params| {
        let basic_constraints_ca = vec![0x30, 0x03, 0x01, 0x01, 0xff];
        params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 19], basic_constraints_ca));
        // keyCertSign and cRLSign.
        params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 15], vec![0x03, 0x02, 0x01, 0x06]));
    });
    for csr in [foreign, ca] {
        let chain = lab.ask(&lab.token(), &csr, 60).await.unwrap();
        let leaf = certificates(&chain[0]).remove(0);
        assert_eq!(leaf.workload_id().unwrap().as_str(), WEB);
        assert_eq!((leaf.uris().len(), leaf.dns_names().len(), leaf.ip_addresses().len()), (1, 0, 0));
        assert!(!leaf.is_ca());
        let usage = leaf.key_usage().unwrap();
        assert!(usage.digital_signature && !usage.key_cert_sign && !usage.crl_sign);
    }
}

#[tokio::test]
async fn a_common_name_is_answered_with_the_identity_and_never_copied() {
    let lab = Lab::start().await;
    let subject =
        async |csr: &str| certificates(&lab.ask(&lab.token(), csr, 60).await.unwrap()[0])[0].subject_der().to_vec();
    let named = subject(&asking(|params| params.distinguished_name.push(DnType::CommonName, "admin"))).await;
    let text = String::from_utf8_lossy(&named).into_owned();
    assert!(text.ends_with(WEB) && !text.contains("admin"), "{text:?}");
    let empty_organization = asking(|params| params.distinguished_name.push(DnType::OrganizationName, ""));
    assert_eq!(subject(&empty_organization).await, [0x30, 0x00]);
    assert_eq!(subject(&any_csr()).await, [0x30, 0x00]);
}

#[tokio::test]
async fn an_identity_too_long_for_a_common_name_is_left_out_of_it() {
    let lab = Lab::start().await;
    let account = "a".repeat(60);
    let token = lab.setup.issuer.token("shop", &account, lab.now(), crate::lab::HOUR);
    let csr = asking(|params| params.distinguished_name.push(DnType::CommonName, "x"));
    let leaf = certificates(&lab.ask(&token, &csr, 60).await.unwrap()[0]).remove(0);
    assert_eq!(leaf.subject_der(), [0x30, 0x00]);
    let wanted: SpiffeId = format!("spiffe://cluster.local/ns/shop/sa/{account}").parse().unwrap();
    assert_eq!(leaf.workload_id().unwrap(), wanted);
}

#[tokio::test]
async fn a_request_by_our_own_encoder_is_what_an_agent_sends() {
    let key = PrivateKey::generate_p256().unwrap();
    let lab = Lab::start().await;
    let csr = csr::create(&key, &WEB.parse().unwrap()).unwrap();
    assert_eq!(certificates(&lab.ask(&lab.token(), &csr, 60).await.unwrap()[0])[0].public_key(), key.public());
}

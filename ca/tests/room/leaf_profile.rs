//! The leaf, field by field, under every kind of authority and for every kind of key.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use signet_identity::{Certificate, PrivateKey, pem};
use signet_testkit::{keys, knobs};
use yasna::Tag;

use crate::lab::{Lab, Setup, WEB, certificates, csr_of};

const ECDSA_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_SHA384: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
const RSA_SHA256: &[u8] = &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00];

/// Key usage, extended key usage and basic constraints, as istiod writes them and in its order.
const USAGES: &[u8] = &[
    0x30, 0x0e, 0x06, 0x03, 0x55, 0x1d, 0x0f, 0x01, 0x01, 0xff, 0x04, 0x04, 0x03, 0x02, 0x05, 0xa0, 0x30, 0x1d, 0x06,
    0x03, 0x55, 0x1d, 0x25, 0x04, 0x16, 0x30, 0x14, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01, 0x06,
    0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02, 0x30, 0x0c, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff,
    0x04, 0x02, 0x30, 0x00,
];

/// A root with this key, with or without a key identifier, plugged in.
async fn start(key: &PrivateKey, has_key_id: bool) -> (Lab, Certificate) {
    let pair = KeyPair::from_pem(&key.to_pem()).unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::OrganizationName, "cluster.local");
    if !has_key_id {
        knobs::no_subject_key_id(&mut params);
    }
    let root = params.self_signed(&pair).unwrap();
    let root = Certificate::from_der(root.der()).unwrap();
    assert_eq!(root.subject_key_id().is_some(), has_key_id);
    let setup = Setup::new().with("authority.state_dir", "'none'");
    let dir = setup.path("plugged");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("ca-key.pem"), key.to_pem().as_bytes()).unwrap();
    for name in ["ca-cert.pem", "cert-chain.pem", "root-cert.pem"] {
        fs::write(dir.join(name), root.to_pem()).unwrap();
    }
    let setup = setup.with("authority.plugged_in_dir", &format!("{:?}", dir.to_str().unwrap()));
    (setup.start().await, root)
}

/// What is signed, and the algorithm that stands beside the signature.
fn parts(leaf: &Certificate) -> (Vec<u8>, Vec<u8>) {
    yasna::parse_der(leaf.der(), |reader| {
        reader.read_sequence(|fields| {
            let parts = (fields.next().read_der()?, fields.next().read_der()?);
            fields.next().read_bitvec_bytes()?;
            Ok(parts)
        })
    })
    .unwrap()
}

/// The validity as it stands in a leaf; what it says is checked where lifetimes are.
fn validity(to_be_signed: &[u8]) -> Vec<u8> {
    yasna::parse_der(to_be_signed, |reader| {
        reader.read_sequence(|fields| {
            let all = (0..5).map(|_| fields.next().read_der()).collect::<Result<Vec<_>, _>>()?;
            let rest = (0..3).map(|_| fields.next().read_der()).collect::<Result<Vec<_>, _>>();
            rest.map(|_| all[4].clone())
        })
    })
    .unwrap()
}

fn wanted(leaf: &Certificate, root: &Certificate, algorithm: &[u8], key: &PrivateKey) -> Vec<u8> {
    let serial = leaf.serial().as_der_content();
    let name = [&[0x86, u8::try_from(WEB.len()).unwrap()][..], WEB.as_bytes()].concat();
    let names = yasna::construct_der(|writer| writer.write_sequence(|names| names.next().write_der(&name)));
    let authority = root.subject_key_id().map(|id| {
        yasna::construct_der(|writer| {
            writer.write_sequence(|fields| {
                fields.next().write_tagged_implicit(Tag::context(0), |writer| writer.write_bytes(id));
            });
        })
    });
    yasna::construct_der(|writer| {
        writer.write_sequence(|fields| {
            fields.next().write_tagged(Tag::context(0), |writer| writer.write_u8(2));
            fields.next().write_der(&[&[0x02, u8::try_from(serial.len()).unwrap()], serial].concat());
            fields.next().write_der(algorithm);
            fields.next().write_der(root.subject_der());
            fields.next().write_der(&validity(&parts(leaf).0));
            fields.next().write_der(&[0x30, 0x00]);
            fields.next().write_der(key.public().spki_der());
            fields.next().write_tagged(Tag::context(3), |writer| {
                writer.write_sequence(|extensions| {
                    let mut rest = USAGES;
                    while let Some(len) = rest.get(1).map(|len| usize::from(*len) + 2) {
                        let (extension, after) = rest.split_at(len);
                        extensions.next().write_der(extension);
                        rest = after;
                    }
                    if let Some(id) = &authority {
                        signet_identity::der::write_extension(extensions.next(), &[2, 5, 29, 35], false, id);
                    }
                    signet_identity::der::write_extension(extensions.next(), &[2, 5, 29, 17], true, &names);
                });
            });
        });
    })
}

#[tokio::test]
async fn leaves_are_istios_field_by_field_under_every_kind_of_authority() {
    let [p256, p384] = [PrivateKey::generate_p256(), PrivateKey::generate_p384()].map(Result::unwrap);
    let rsa = keys::rsa_2048();
    for (authority, algorithm) in [(&p256, ECDSA_SHA256), (&p384, ECDSA_SHA384), (&rsa, RSA_SHA256)] {
        for has_key_id in [true, false] {
            let (lab, root) = start(authority, has_key_id).await;
            for key in [PrivateKey::generate_p256().unwrap(), PrivateKey::generate_p384().unwrap(), keys::rsa_2048()] {
                let chain = lab.ask(&lab.token(), &csr_of(&key), 3600).await.unwrap();
                let leaf = certificates(&chain[0]).remove(0);
                assert_eq!(pem::encode("CERTIFICATE", leaf.der()), chain[0], "the leaf stands alone");
                let (to_be_signed, outer) = parts(&leaf);
                assert_eq!(outer, algorithm);
                assert_eq!(to_be_signed, wanted(&leaf, &root, algorithm, &key));
            }
        }
    }
}

//! Shapes of what goes out, bounds of what comes in.

use super::*;
use crate::sds::samples::Sample;
use crate::sds::subscription::Reason;
use crate::sds::view::Found;
use proptest::prelude::*;
use prost::Message;

const BOTH: [ResourceName; 2] = [ResourceName::RootCa, ResourceName::Default];

fn push(names: &[ResourceName], sample: &Sample) -> Push {
    push_in(names, sample, RootsForm::Any)
}

fn push_in(names: &[ResourceName], sample: &Sample, form: RootsForm) -> Push {
    let view = sample.now();
    let secrets = names.iter().filter_map(|name| match view.find(name, form) {
        Found::Ready(secret) => Some(secret),
        _ => None,
    });
    let offers = secrets.map(|secret| Offer { secret, reason: Reason::Asked }).collect();
    Push { nonce: "n".to_owned(), offers, removed: Vec::new() }
}

fn decode(any: &Any) -> WireSecret {
    assert_eq!(any.type_url, SECRET_TYPE_URL);
    WireSecret::decode(any.value.as_slice()).unwrap()
}

fn text(source: Option<DataSource>) -> String {
    let Some(Specifier::InlineBytes(bytes)) = source.and_then(|source| source.specifier) else { panic!("not inline") };
    String::from_utf8(bytes).unwrap()
}

#[test]
fn an_identity_is_a_chain_and_a_pkcs_8_key_inline_and_nothing_else() {
    let sample = Sample::new();
    let message = response(push(&[ResourceName::Default], &sample));
    assert_eq!((message.type_url.as_str(), message.nonce.as_str()), (SECRET_TYPE_URL, "n"));
    let secret = decode(&message.resources[0]);
    assert_eq!(secret.name, "default");
    let Some(Type::TlsCertificate(tls)) = secret.r#type else { panic!("no certificate") };
    let svid = sample.snapshot().svid.unwrap();
    assert_eq!(text(tls.certificate_chain.clone()), svid.content().chain_pem());
    assert!(text(tls.private_key.clone()).starts_with("-----BEGIN PRIVATE KEY-----\n"));
    let only = TlsCertificate {
        certificate_chain: tls.certificate_chain.clone(),
        private_key: tls.private_key.clone(),
        ..TlsCertificate::default()
    };
    assert_eq!(tls, only);
}

#[test]
fn roots_are_a_validation_context_that_is_never_empty() {
    let sample = Sample::new();
    let secret = decode(&response(push(&[ResourceName::RootCa], &sample)).resources[0]);
    assert_eq!(secret.name, "ROOTCA");
    let Some(Type::ValidationContext(context)) = secret.r#type else { panic!("no validation context") };
    assert!(text(context.trusted_ca).contains("BEGIN CERTIFICATE"));
    assert!(push(&BOTH, &Sample::empty()).offers.is_empty(), "nothing is made of nothing");
}

#[test]
fn each_incremental_resource_has_its_own_version() {
    let sample = Sample::new();
    let whole = delta_response(push(&BOTH, &sample));
    let versions: Vec<_> = whole.resources.iter().map(|r| (r.name.as_str(), r.version.clone())).collect();
    for (name, version) in &versions {
        let alone = response(push(&[name.parse().unwrap()], &sample));
        assert_eq!(alone.version_info, *version);
    }
    assert_ne!(versions[0].1, versions[1].1);
}

#[test]
fn for_the_spiffe_validator_each_trust_domain_has_roots_of_its_own() {
    let sample = Sample::new();
    let message = response(push_in(&[ResourceName::RootCa], &sample, RootsForm::Spiffe));
    let Some(Type::ValidationContext(context)) = decode(&message.resources[0]).r#type else { panic!("no context") };
    assert_eq!(context.trusted_ca, None, "the validator would not look at it, another reader might");
    let validator = context.custom_validator_config.unwrap();
    assert_eq!(validator.name, "envoy.tls.cert_validator.spiffe");
    let config = validator.typed_config.unwrap();
    assert_eq!(
        config.type_url,
        "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig"
    );
    let config = SpiffeCertValidatorConfig::decode(config.value.as_slice()).unwrap();
    assert_eq!(config.trust_domains.len(), 1);
    assert_eq!(config.trust_domains[0].name, "cluster.local");
    assert!(text(config.trust_domains[0].trust_bundle.clone()).contains("BEGIN CERTIFICATE"));
}

#[test]
fn a_node_says_by_its_metadata_in_which_form_it_wants_roots() {
    use signet_proto_envoy::pb::google::protobuf::{Struct, Value};
    let form = |kind: Kind| {
        let fields = [("disable_spiffe_cert_validation".to_owned(), Value { kind: Some(kind) })];
        roots_form(&Node { metadata: Some(Struct { fields: fields.into() }), ..Node::default() })
    };
    assert_eq!(form(Kind::BoolValue(true)), RootsForm::Plain);
    assert_eq!(form(Kind::StringValue("true".to_owned())), RootsForm::Plain);
    assert_eq!(form(Kind::BoolValue(false)), RootsForm::Spiffe);
    assert_eq!(form(Kind::StringValue("false".to_owned())), RootsForm::Spiffe);
    assert_eq!(form(Kind::StringValue("no".to_owned())), RootsForm::Any);
    assert_eq!(form(Kind::NumberValue(1.0)), RootsForm::Any);
    assert_eq!(roots_form(&Node::default()), RootsForm::Any);
}

#[test]
fn nothing_is_kept_of_a_node_but_a_short_printable_id() {
    let long = Node { id: format!("a\n{}", "x".repeat(1000)), ..Node::default() };
    let id = NodeId::of(Some(&long)).unwrap();
    assert!(id.as_str().starts_with("a\\nxxx") && id.as_str().len() == NODE_ID_MAX_CHARS);
    assert_eq!(NodeId::of(Some(&Node::default())), Err(InvalidRequest::NoNode));
    assert_eq!(NodeId::of(None), Err(InvalidRequest::NoNode));
}

proptest! {
    #[test]
    fn no_message_makes_the_reader_panic_and_no_name_is_lost(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        names in prop::collection::vec("default|ROOTCA|(file-root:/|spiffe://|)[a-zA-Z:/~]{0,12}", 0..20),
    ) {
        if let Ok(message) = DiscoveryRequest::decode(bytes.as_slice()) {
            let _ = Request::try_from(message);
        }
        if let Ok(message) = DeltaDiscoveryRequest::decode(bytes.as_slice()) {
            let _ = DeltaRequest::try_from(message);
        }
        let request = Request::try_from(DiscoveryRequest { resource_names: names.clone(), ..Default::default() }).unwrap();
        for name in names {
            let known = request.known.iter().any(|known| known.to_string() == name);
            prop_assert!(known != request.unknown.contains(&name));
        }
    }
}

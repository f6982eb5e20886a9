//! Between Envoy's messages and the words of this room. The only module that knows both.
//!
//! What comes in is bounded and checked here, before any state sees it. What goes out holds keys, so it is made when
//! it is sent and not kept; the transport's buffers, which cannot be wiped, are the one place where a copy may linger.

use std::collections::BTreeSet;

use signet_identity::{Certificate, PrivateKey};
use signet_proto_envoy::pack_any;
use signet_proto_envoy::pb::envoy::config::core::v3::TypedExtensionConfig;
use signet_proto_envoy::pb::envoy::config::core::v3::data_source::Specifier;
use signet_proto_envoy::pb::envoy::config::core::v3::{DataSource, Node};
use signet_proto_envoy::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use signet_proto_envoy::pb::envoy::extensions::transport_sockets::tls::v3::spiffe_cert_validator_config::TrustDomain as WireDomain;
use signet_proto_envoy::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret as WireSecret, SpiffeCertValidatorConfig, TlsCertificate,
};
use signet_proto_envoy::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use signet_proto_envoy::pb::google::protobuf::Any;
use signet_proto_envoy::pb::google::protobuf::value::Kind;
use signet_proto_envoy::pb::google::rpc::Status as WireStatus;

use crate::sds::delta::DeltaRequest;
use crate::sds::secret::{Content, DomainRoots, Secret};
use crate::sds::stream::Request;
use crate::sds::subscription::{Offer, Push};
use crate::sds::view::RootsForm;
use crate::sds::{NAMES_MAX, ResourceName};
use crate::secrets::Version;

/// The only type of resource that is served.
pub const SECRET_TYPE_URL: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// Envoy's validator that keeps trust domains apart.
const SPIFFE_VALIDATOR: &str = "envoy.tls.cert_validator.spiffe";

/// The key of a node's metadata by which proxies of SPIRE turn that validator off, or ask for it with `false`.
const DISABLE_SPIFFE_VALIDATOR: &str = "disable_spiffe_cert_validation";

/// Longest node id kept, in characters.
const NODE_ID_MAX_CHARS: usize = 128;

/// Longest rejection message kept, in characters.
const REJECTION_MAX_CHARS: usize = 500;

/// Longest nonce looked at, in bytes; ours are shorter.
const NONCE_MAX_BYTES: usize = 64;

/// Why a message was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// The first message must say who asks.
    #[error("first message has no node id")]
    NoNode,
    /// Another type of resource.
    #[error("type URL is not `{SECRET_TYPE_URL}`")]
    TypeUrl,
    /// More than [`NAMES_MAX`].
    #[error("message has {count} resource names, at most {NAMES_MAX} are accepted")]
    TooManyNames {
        /// Names given.
        count: usize,
    },
    /// A unary request without names.
    #[error("message has no resource names")]
    NoNames,
}

/// The sender of a stream, as far as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeId(Box<str>);

impl NodeId {
    /// The id of `node`, cut short; everything else about it is dropped.
    ///
    /// # Errors
    /// [`InvalidRequest::NoNode`].
    pub fn of(node: Option<&Node>) -> Result<Self, InvalidRequest> {
        let id = node.map(|node| node.id.as_str()).filter(|id| !id.is_empty()).ok_or(InvalidRequest::NoNode)?;
        Ok(Self(id.escape_debug().take(NODE_ID_MAX_CHARS).collect()))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// In which form the proxy wants roots; a value that is neither true nor false says nothing.
pub fn roots_form(node: &Node) -> RootsForm {
    let value = node.metadata.as_ref().and_then(|metadata| metadata.fields.get(DISABLE_SPIFFE_VALIDATOR));
    match value.and_then(|value| value.kind.as_ref()) {
        Some(Kind::BoolValue(true)) => RootsForm::Plain,
        Some(Kind::BoolValue(false)) => RootsForm::Spiffe,
        Some(Kind::StringValue(text)) if text == "true" => RootsForm::Plain,
        Some(Kind::StringValue(text)) if text == "false" => RootsForm::Spiffe,
        _ => RootsForm::Any,
    }
}

impl TryFrom<DiscoveryRequest> for Request {
    type Error = InvalidRequest;

    fn try_from(wire: DiscoveryRequest) -> Result<Self, Self::Error> {
        check_type_url(&wire.type_url)?;
        let (known, unknown) = names(wire.resource_names)?;
        Ok(Self {
            known,
            unknown,
            nonce: nonce(wire.response_nonce),
            rejection: wire.error_detail.as_ref().map(rejection),
        })
    }
}

impl TryFrom<DeltaDiscoveryRequest> for DeltaRequest {
    type Error = InvalidRequest;

    fn try_from(wire: DeltaDiscoveryRequest) -> Result<Self, Self::Error> {
        check_type_url(&wire.type_url)?;
        let (known, unknown) = names(wire.resource_names_subscribe)?;
        // A name that is not known was never remembered, so giving it up changes nothing.
        let (dropped, _) = names(wire.resource_names_unsubscribe)?;
        let rejection = wire.error_detail.as_ref().map(rejection);
        Ok(Self { known, unknown, dropped, nonce: nonce(wire.response_nonce), rejection })
    }
}

/// A message of the state-of-the-world form.
pub fn response(push: Push) -> DiscoveryResponse {
    DiscoveryResponse {
        version_info: version(&push.offers),
        resources: push.offers.iter().map(|offer| resource(&offer.secret)).collect(),
        type_url: SECRET_TYPE_URL.to_owned(),
        nonce: push.nonce,
        ..DiscoveryResponse::default()
    }
}

/// A message of the incremental form.
pub fn delta_response(push: Push) -> DeltaDiscoveryResponse {
    let resources = push.offers.iter().map(|Offer { secret, .. }| Resource {
        name: secret.name().to_string(),
        version: secret.version().as_str().to_owned(),
        resource: Some(resource(secret)),
        ..Resource::default()
    });
    DeltaDiscoveryResponse {
        system_version_info: version(&push.offers),
        resources: resources.collect(),
        type_url: SECRET_TYPE_URL.to_owned(),
        removed_resources: push.removed,
        nonce: push.nonce,
        ..DeltaDiscoveryResponse::default()
    }
}

fn check_type_url(type_url: &str) -> Result<(), InvalidRequest> {
    // The service itself implies the type, so a client may leave it out.
    if type_url.is_empty() || type_url == SECRET_TYPE_URL { Ok(()) } else { Err(InvalidRequest::TypeUrl) }
}

fn names(names: Vec<String>) -> Result<(BTreeSet<ResourceName>, Vec<String>), InvalidRequest> {
    if names.len() > NAMES_MAX {
        return Err(InvalidRequest::TooManyNames { count: names.len() });
    }
    let (mut known, mut unknown) = (BTreeSet::new(), Vec::new());
    for name in names {
        match name.parse() {
            Ok(name) => drop(known.insert(name)),
            Err(_) => unknown.push(name),
        }
    }
    Ok((known, unknown))
}

/// An overlong nonce is nobody's; any text that is not ours says the same.
fn nonce(mut nonce: String) -> String {
    if nonce.len() > NONCE_MAX_BYTES {
        "overlong".clone_into(&mut nonce);
    }
    nonce
}

fn rejection(status: &WireStatus) -> String {
    status.message.escape_debug().take(REJECTION_MAX_CHARS).collect()
}

fn version(offers: &[Offer]) -> String {
    match offers {
        [] => String::new(),
        [one] => one.secret.version().as_str().to_owned(),
        several => {
            Version::of(several.iter().map(|offer| offer.secret.version().as_str().as_bytes())).as_str().to_owned()
        }
    }
}

fn resource(secret: &Secret) -> Any {
    let content = match secret.content() {
        Content::Identity(svid) => certificate(svid.chain_pem(), svid.key()),
        Content::Pair(pair) => certificate(pair.chain().map(Certificate::to_pem).collect(), pair.key()),
        Content::Anchors(anchors) => Type::ValidationContext(CertificateValidationContext {
            trusted_ca: Some(inline(anchors.pem().as_bytes().to_vec())),
            ..CertificateValidationContext::default()
        }),
        Content::Domains(domains) => Type::ValidationContext(CertificateValidationContext {
            custom_validator_config: Some(spiffe_validator(domains)),
            ..CertificateValidationContext::default()
        }),
    };
    pack_any(WireSecret { name: secret.name().to_string(), r#type: Some(content) })
}

fn certificate(chain_pem: String, key: &PrivateKey) -> Type {
    Type::TlsCertificate(TlsCertificate {
        certificate_chain: Some(inline(chain_pem.into_bytes())),
        private_key: Some(inline(key.to_pem().as_bytes().to_vec())),
        ..TlsCertificate::default()
    })
}

fn spiffe_validator(domains: &[DomainRoots]) -> TypedExtensionConfig {
    let domain = |roots: &DomainRoots| WireDomain {
        name: roots.domain.to_string(),
        trust_bundle: Some(inline(roots.pem.as_bytes().to_vec())),
        ..WireDomain::default()
    };
    let config =
        SpiffeCertValidatorConfig { trust_domains: domains.iter().map(domain).collect(), ..Default::default() };
    TypedExtensionConfig { name: SPIFFE_VALIDATOR.to_owned(), typed_config: Some(pack_any(config)) }
}

fn inline(bytes: Vec<u8>) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineBytes(bytes)), ..DataSource::default() }
}

#[cfg(test)]
mod tests;

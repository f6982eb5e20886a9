//! The settings of `signet-ca`: from raw layers to a typed value, with everything wrong told at once.
//!
//! One section, one function. Reads files only to say early that they are unusable; what they hold is loaded again by
//! whoever needs it.

mod admission;
mod callers;
mod federation;
mod istio;
mod istiod;
mod jwt;
mod kubernetes;
mod ledger;
mod means;
mod oidc_callers;
mod otlp;
mod pkcs11;
mod rotation;
mod rules;
mod secrets;
mod sections;
mod settings;
mod stopping;
mod web;

pub use callers::{CallersConfig, ClusterConfig, KeysConfig};
pub use federation::{BundleEndpointConfig, FederationConfig};
pub use istio::ISTIO;
pub use jwt::JwtConfig;
pub use kubernetes::KubernetesConfig;
pub use oidc_callers::OidcConfig;
pub use otlp::OtlpConfig;
#[cfg(feature = "pkcs11")]
pub(crate) use pkcs11::check_pin_mode;
pub use pkcs11::{Pkcs11Config, TokenName};
pub(crate) use secrets::CACERTS;
pub use settings::SETTINGS;
pub use web::{WebCertificate, WebConfig};

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use signet_identity::TrustDomain;
use signet_identity::der::AltName;
use signet_runtime::config::Effective;
use signet_runtime::telemetry::{LogFilter, LogFormat};
use signet_runtime::{ConfigError, Layers, Reader};

use crate::admission::AdmissionConfig;
use crate::authority::RootKey;
use crate::authority::rotation::Policy;
use crate::authorize::IssuanceRule;
use crate::ledger::LedgerConfig;
use crate::profile::Profile;

/// All settings, each checked.
#[derive(Debug, Clone)]
pub struct CaConfig {
    /// Where granted identities live.
    pub trust_domain: TrustDomain,
    /// Where the CA API is served.
    pub listen: SocketAddr,
    /// Where health and metrics are served.
    pub admin_listen: SocketAddr,
    /// Whether gRPC clients may ask what is served.
    pub reflection: bool,
    /// How to log.
    pub log: LogConfig,
    /// Who may call.
    pub callers: CallersConfig,
    /// Who signs.
    pub authority: AuthorityConfig,
    /// When that changes.
    pub rotation: Policy,
    /// Where operators of this machine ask, where there is such a place.
    pub control_socket: Option<PathBuf>,
    /// What stands in a leaf.
    pub leaf: Profile,
    /// What is issued to whom.
    pub rules: Vec<IssuanceRule>,
    /// The server's own certificate.
    pub serving: ServingConfig,
    /// Tokens, where they are minted.
    pub jwt: Option<JwtConfig>,
    /// Where what is issued is recorded; `None` when the operator wants no record.
    pub ledger: Option<LedgerConfig>,
    /// How long connections live.
    pub connections: ConnectionsConfig,
    /// How much may be under way.
    pub admission: AdmissionConfig,
    /// How long to go on serving after the process was told to stop.
    pub shutdown_delay: Duration,
    /// What is published for other trust domains, and what is read of them.
    pub federation: FederationConfig,
    /// Where traces are sent.
    pub otlp: Option<OtlpConfig>,
    /// The cluster that this process belongs to.
    pub kubernetes: Option<KubernetesConfig>,
}

/// How long connections live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionsConfig {
    /// After this time a connection is told to end, so that callers spread over new replicas; `None` for never.
    pub age_max: Option<Duration>,
}

/// How to log.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// How lines look.
    pub format: LogFormat,
    /// What is written: a level, or `target=level` pairs.
    pub level: LogFilter,
}

/// Who signs.
#[derive(Debug, Clone)]
pub struct AuthorityConfig {
    /// Where the authority is.
    pub source: AuthoritySource,
    /// What kind of key a root gets that is made here.
    pub root_key: RootKey,
    /// Life of a root that is made here.
    pub root_ttl: Duration,
    /// The Secret in which generations are kept instead of a directory.
    pub secret: Option<String>,
    /// The token that holds the key of a plugged-in authority, where it is not in a file.
    pub pkcs11: Option<Pkcs11Config>,
    /// Whether that is the one that Istio also knows for plugged-in authorities, unless the usual one is there.
    pub uses_cacerts: bool,
}

/// Where the authority is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthoritySource {
    /// A root of our own, kept in this directory.
    SelfSigned {
        /// The state directory.
        state_dir: PathBuf,
    },
    /// An operator's, in this directory.
    PluggedIn {
        /// The directory.
        dir: PathBuf,
        /// Where a change under way is kept over restarts; `None` when the operator wants it forgotten.
        state_dir: Option<PathBuf>,
    },
    /// An operator's if any of its files is there, otherwise a root of our own: Istio's rule for `ROOT_CA_DIR`.
    PluggedInIfThere {
        /// Where an operator's would be.
        dir: PathBuf,
        /// Where our own is.
        state_dir: PathBuf,
    },
}

impl AuthoritySource {
    /// The directory in which state may be kept.
    pub fn state_dir(&self) -> Option<&Path> {
        match self {
            Self::SelfSigned { state_dir } | Self::PluggedInIfThere { state_dir, .. } => Some(state_dir),
            Self::PluggedIn { state_dir, .. } => state_dir.as_deref(),
        }
    }
}

/// The server's own certificate.
#[derive(Debug, Clone)]
pub struct ServingConfig {
    /// Whom it names; at least one.
    pub names: Vec<AltName>,
    /// Those of them that an operator named in addition, which are istiod's too.
    pub extra: Vec<AltName>,
    /// How long it is valid.
    pub ttl: Duration,
}

impl CaConfig {
    /// Reads all settings, and gives them back as they are in force.
    ///
    /// # Errors
    /// All problems together.
    pub fn read(layers: Layers) -> Result<(Self, Effective), ConfigError> {
        let mut reader = Reader::new(layers);
        let config = sections::all(&mut reader);
        if let Some(config) = &config {
            means::check(&mut reader, &config.callers, config.kubernetes.is_some());
        }
        reader.finish(config)
    }

    /// As [`CaConfig::read`] for [`App::build_with`](crate::app::App::build_with), which is given connections to
    /// clusters that no setting names.
    ///
    /// # Errors
    /// All problems together.
    pub fn read_linked(layers: Layers) -> Result<(Self, Effective), ConfigError> {
        let mut reader = Reader::new(layers);
        let config = sections::all(&mut reader);
        reader.finish(config)
    }
}

//! Values that settings become: each checked when it is made.

use std::fmt;
use std::str::FromStr;

use http::uri::Authority;
use rustls_pki_types::ServerName as TlsName;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};

/// Why a text is not the value that a setting wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a host with a port.
    #[error("`{text}` is not `host:port`, such as `signet-ca.istio-system.svc:15012`")]
    Address {
        /// What was given.
        text: String,
    },
    /// Too many addresses, or one of them twice.
    #[error("`{text}` has more than {CA_ADDRESSES_MAX} addresses, or one of them twice")]
    Addresses {
        /// What was given.
        text: String,
    },
    /// Not a name that a certificate can carry.
    #[error("`{text}` is neither a DNS name nor an IP address")]
    ServerName {
        /// What was given.
        text: String,
    },
    /// Not a file mode.
    #[error("`{text}` is not a file mode in octal, such as 0600 or 0660")]
    Mode {
        /// What was given.
        text: String,
    },
    /// Not a user id.
    #[error("`{text}` is not a user id")]
    Uid {
        /// What was given.
        text: String,
    },
}

/// Host and port of the CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaAddress(pub(super) Authority);

impl CaAddress {
    /// The host, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.0.host().trim_start_matches('[').trim_end_matches(']')
    }
}

impl FromStr for CaAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let authority = text.parse::<Authority>().ok().filter(|authority| {
            authority.port_u16().is_some_and(|port| port != 0) && !authority.host().is_empty() && !text.contains('@')
        });
        authority.map(Self).ok_or_else(|| ValueError::Address { text: text.to_owned() })
    }
}

impl fmt::Display for CaAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Most addresses of the CA.
const CA_ADDRESSES_MAX: usize = 8;

/// One address of the CA or several, written with commas between them, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaAddresses(Vec<CaAddress>);

impl CaAddresses {
    /// The addresses, at least one, in order.
    pub fn as_slice(&self) -> &[CaAddress] {
        &self.0
    }
}

impl IntoIterator for CaAddresses {
    type Item = CaAddress;
    type IntoIter = std::vec::IntoIter<CaAddress>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromStr for CaAddresses {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut addresses: Vec<CaAddress> = Vec::new();
        for address in text.split(',').map(str::trim) {
            let address = address.parse()?;
            if addresses.contains(&address) || addresses.len() == CA_ADDRESSES_MAX {
                return Err(ValueError::Addresses { text: text.to_owned() });
            }
            addresses.push(address);
        }
        Ok(Self(addresses))
    }
}

/// The name that the CA's serving certificate must carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerName(String);

impl ServerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match TlsName::try_from(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(ValueError::ServerName { text: text.to_owned() }),
        }
    }
}

/// Permission bits of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketMode(u32);

impl SocketMode {
    /// The bits.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl FromStr for SocketMode {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bits = u32::from_str_radix(text.strip_prefix("0o").unwrap_or(text), 8).ok();
        // Without both bits for the owner not even the agent's own user could connect.
        bits.filter(|bits| *bits <= 0o777 && bits & 0o600 == 0o600)
            .map(Self)
            .ok_or_else(|| ValueError::Mode { text: text.to_owned() })
    }
}

/// A numeric user id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uid(pub u32);

impl FromStr for Uid {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| ValueError::Uid { text: text.to_owned() })
    }
}

/// Why a header cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not the name of a text header.
    #[error("`{name}` is not a header name")]
    Name {
        /// What was given.
        name: String,
    },
    /// A header that the protocol or the agent itself writes.
    #[error("header `{name}` is not yours to set")]
    Reserved {
        /// What was given.
        name: String,
    },
    /// Not the value of a text header. The value itself is not told: it may be a secret.
    #[error("value of header `{name}` is not printable ASCII")]
    Value {
        /// The header.
        name: String,
    },
}

/// A header for the CA. Its value is never printed: it may be a credential.
#[derive(Clone)]
pub struct CaHeader {
    /// Lower-case name.
    pub name: AsciiMetadataKey,
    /// The value.
    pub value: AsciiMetadataValue,
}

impl CaHeader {
    /// A header from texts; the name is folded to lower case, as HTTP/2 wants it.
    ///
    /// # Errors
    /// Every variant of [`HeaderError`].
    pub fn new(name: &str, value: &str) -> Result<Self, HeaderError> {
        let lower = name.to_ascii_lowercase();
        if lower == "authorization" || lower == "te" || lower == "host" || lower.starts_with("grpc-") {
            return Err(HeaderError::Reserved { name: lower });
        }
        let key = lower.parse().map_err(|_| HeaderError::Name { name: name.to_owned() })?;
        let value = value.parse().map_err(|_| HeaderError::Value { name: lower })?;
        Ok(Self { name: key, value })
    }
}

impl fmt::Debug for CaHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaHeader({}, redacted)", self.name)
    }
}

//! A request as policies see it: canonical, so that nobody later wonders about case, queries or repeated headers.
//!
//! Made once, with whatever copying that takes; deciding borrows it and copies nothing.

mod headers;

use std::borrow::Cow;
use std::net::IpAddr;

use serde_json::{Map, Value};

pub use self::headers::Headers;
pub(crate) use self::headers::is_joined;
use self::headers::lower;

use crate::model::Normalization;
use crate::path::{BadPath, normalize, without_query};
use crate::token::Authentication;

/// Longest identity that is taken from a certificate, in bytes (SPIFFE-ID, 2.3).
pub const IDENTITY_MAX_BYTES: usize = signet_identity::spiffe_id::SPIFFE_ID_MAX_BYTES;

/// Why something is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The identity is longer than any may be.
    #[error("the identity has {actual} bytes, at most {IDENTITY_MAX_BYTES} are accepted")]
    IdentityTooLong {
        /// Bytes given.
        actual: usize,
    },
    /// Refused by the proxy before any policy.
    #[error(transparent)]
    Path(#[from] BadPath),
}

/// What a policy may ask about a request or a connection.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    identity: Option<&'a str>,
    /// The other end of the TCP connection.
    pub source_ip: IpAddr,
    /// The client's address as far as the proxy trusts it.
    pub remote_ip: IpAddr,
    /// The address that the connection came in on.
    pub destination_ip: IpAddr,
    /// The port that the connection came in on, as the workload sees it.
    pub destination_port: u16,
    /// The server name of the TLS handshake; empty for none.
    pub sni: &'a str,
    /// The request in the connection, where there is one.
    pub http: Option<Http<'a>>,
    /// What became of the tokens in the request.
    pub token: Token<'a>,
    /// Dynamic metadata of other filters: filter, key, value.
    pub metadata: &'a [(&'a str, &'a str, Value)],
}

impl<'a> Request<'a> {
    /// A connection from `source_ip` without identity, to `destination`.
    pub fn new(source_ip: IpAddr, destination_ip: IpAddr, destination_port: u16) -> Self {
        Self {
            identity: None,
            source_ip,
            remote_ip: source_ip,
            destination_ip,
            destination_port,
            sni: "",
            http: None,
            token: Token::Absent,
            metadata: &[],
        }
    }

    /// The same from a caller whose certificate holds this name, with its scheme. An empty one is none.
    ///
    /// # Errors
    /// [`RequestError::IdentityTooLong`].
    pub fn with_identity(self, identity: &'a str) -> Result<Self, RequestError> {
        if identity.len() > IDENTITY_MAX_BYTES {
            return Err(RequestError::IdentityTooLong { actual: identity.len() });
        }
        Ok(Self { identity: Some(identity).filter(|identity| !identity.is_empty()), ..self })
    }

    /// The name in the caller's certificate; `None` for plaintext.
    pub fn identity(&self) -> Option<&'a str> {
        self.identity
    }

    /// The claims of the token that was verified, where there is one.
    pub fn claims(&self) -> Option<&'a Claims> {
        match self.token {
            Token::Verified(claims) => Some(claims),
            Token::Absent | Token::Refused => None,
        }
    }
}

/// What became of the tokens in a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Token<'a> {
    /// There was none that anybody looks at.
    Absent,
    /// There was one, and nobody accepted it: 401.
    Refused,
    /// Its claims.
    Verified(&'a Claims),
}

impl<'a> From<&'a Authentication> for Token<'a> {
    fn from(authentication: &'a Authentication) -> Self {
        match authentication {
            Authentication::Absent => Self::Absent,
            Authentication::Refused(_) => Self::Refused,
            Authentication::Verified { claims, .. } => Self::Verified(claims),
        }
    }
}

/// The HTTP part of a request.
#[derive(Debug, Clone)]
pub struct Http<'a> {
    /// `:method`, in its case.
    pub method: &'a str,
    authority: &'a str,
    host: Cow<'a, str>,
    path: Cow<'a, str>,
    bare_length: usize,
    headers: Headers<'a>,
}

impl<'a> Http<'a> {
    /// A request for `path` (with its query, as received) of `host` (with its port, as received).
    ///
    /// # Errors
    /// A path that proxies refuse.
    pub fn new(
        method: &'a str,
        host: &'a str,
        path: &'a str,
        normalization: Normalization,
        headers: Headers<'a>,
    ) -> Result<Self, RequestError> {
        let path = normalize(path, normalization)?;
        let bare_length = without_query(&path).len();
        Ok(Self { method, authority: host, host: lower(host), path, bare_length, headers })
    }

    /// `:authority` in lower case, with its port if it has one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The normalised path without its query.
    pub fn path(&self) -> &str {
        self.path.get(..self.bare_length).unwrap_or_default()
    }

    /// A header by its name in lower case; the pseudo headers too.
    pub fn header(&self, name: &str) -> Option<&str> {
        match name {
            ":method" => Some(self.method),
            ":authority" | "host" => Some(self.authority),
            ":path" => Some(&self.path),
            name => self.headers.get(name),
        }
    }

    /// Each value of a header by its name in lower case, as conditions on headers match them; the pseudo headers too.
    pub fn header_values(&self, name: &str) -> impl Iterator<Item = &str> {
        let pseudo = match name {
            ":method" | ":authority" | "host" | ":path" => self.header(name),
            _ => None,
        };
        pseudo.into_iter().chain(self.headers.values(name))
    }

    /// Every header but the pseudo ones.
    pub fn headers(&self) -> &Headers<'a> {
        &self.headers
    }
}

/// Claims that are always lists, split at spaces, whatever the policy says.
pub(crate) const SPLIT_ALWAYS: [&str; 2] = ["permission", "scope"];

/// The claims of a token, as policies see them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// The payload of a verified token. `scope`, `permission` and `space_delimited` become lists where they are text.
    pub fn new(mut payload: Map<String, Value>, space_delimited: &[&str]) -> Self {
        for name in SPLIT_ALWAYS.iter().chain(space_delimited) {
            if let Some(Value::String(text)) = payload.get(*name) {
                let words = text.split(' ').filter(|word| !word.is_empty());
                let words = words.map(|word| Value::String(word.to_owned())).collect();
                payload.insert((*name).to_owned(), Value::Array(words));
            }
        }
        Self(payload)
    }

    /// Every claim.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The claim at the end of a path of names.
    pub fn get(&self, path: &[Box<str>]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.0.get(&**first)?, |value, name| value.as_object()?.get(&**name))
    }

    /// A claim of the token itself that is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }
}

/// Each string that a claim or metadata offers: itself, or those in its list. Nothing else ever matches.
pub(crate) fn strings(value: &Value) -> impl Iterator<Item = &str> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    value.as_str().into_iter().chain(list.iter().filter_map(Value::as_str))
}

//! Patterns that were parsed once, so that nothing later looks at stars and slashes again.
//!
//! Each knows what it matches by the rules that all planes share; where planes differ (identities), the pattern keeps
//! its parts and the plane's module matches them.

mod cidr;
mod identity;
mod string;
mod template;
#[cfg(test)]
mod tests;

pub use cidr::Cidr;
pub use identity::{Glob, RequestPrincipal, ServiceAccountPattern, TrustDomainPattern};
pub use string::StringPattern;
pub use template::{Part, PathPattern, PathTemplate};

/// Why a text is no pattern of the kind that its field wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing was given.
    #[error("the value is empty")]
    Empty,
    /// Neither an address nor a block.
    #[error("neither an IP address nor a CIDR block")]
    Cidr,
    /// The prefix of a block is longer than the address.
    #[error("a prefix of {given} bits, an address of this family has {max}")]
    PrefixLength {
        /// Bits given.
        given: u32,
        /// Bits of an address.
        max: u8,
    },
    /// Not a decimal number up to 65535.
    #[error("not a port: a decimal number from 0 to 65535")]
    Port,
    /// A service account is `NAME` or `NAMESPACE/NAME`.
    #[error("not a service account: `NAME` or `NAMESPACE/NAME`, without `*`")]
    ServiceAccount,
    /// A trust domain holds at most one `*`, first or last, and no slash.
    #[error("not a trust domain: at most one `*`, first or last, and no `/`")]
    TrustDomain,
    /// A brace where no operator is.
    #[error("`{segment}` is no segment of a path template: `{{*}}` and `{{**}}` must stand alone")]
    TemplateSegment {
        /// The segment.
        segment: Box<str>,
    },
    /// An operator after `{**}`.
    #[error("a path template may have no operator after `{{**}}`")]
    TemplateOrder,
    /// A character that no path template may hold.
    #[error("`{segment}` holds a character that a path template may not hold")]
    TemplateLiteral {
        /// The segment.
        segment: Box<str>,
    },
    /// Envoy accepts path templates that begin with a slash only.
    #[error("a path template must begin with `/`")]
    TemplateStart,
}

/// The port of a value: decimal, 0 to 65535 (0 is accepted, as the API does).
///
/// # Errors
/// [`PatternError::Port`].
pub fn port(text: &str) -> Result<u16, PatternError> {
    let digits = !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().map_err(|_| PatternError::Port) } else { Err(PatternError::Port) }
}

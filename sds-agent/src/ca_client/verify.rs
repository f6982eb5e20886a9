//! Judging the CA's answer before anyone sees it: shape, key, name, times, trust.
//!
//! The shape is Istio's: the leaf, then intermediates, and all roots together in the last element.

use signet_identity::{
    BundleError, Certificate, CertificateError, KeyError, PrivateKey, SpiffeId, Svid, SvidError, Timestamp,
    TrustBundle, VerifyError, bundle, svid,
};

/// Largest element of the chain, in bytes of PEM.
const ELEMENT_MAX_BYTES: usize = 64 * 1024;

/// An identity that was verified against what was asked for.
#[derive(Debug)]
pub struct Issued {
    /// Key and chain, without roots.
    pub svid: Svid,
    /// The roots that came with it.
    pub bundle: TrustBundle,
    /// What is wrong with the token, where the certificate held was shown instead.
    pub token_trouble: Option<String>,
}

/// What is wrong with an answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// No room for both a leaf and roots.
    #[error("answer has {elements} element(s), a leaf and roots are needed")]
    TooShort {
        /// Elements in the answer.
        elements: usize,
    },
    /// More elements than any chain may have.
    #[error("answer has {elements} elements, at most {} are accepted", svid::CHAIN_MAX_CERTIFICATES + 1)]
    TooLong {
        /// Elements in the answer.
        elements: usize,
    },
    /// The roots are unusable.
    #[error("roots in the answer are unusable")]
    Roots(#[from] BundleError),
    /// A certificate of the chain is unusable.
    #[error("chain in the answer is unusable")]
    Chain(#[from] CertificateError),
    /// Chain and key do not make an SVID.
    #[error("chain in the answer does not make an identity")]
    Svid(#[from] SvidError),
    /// The key could not be read again.
    #[error("key is unusable")]
    Key(#[from] KeyError),
    /// Somebody else's name.
    #[error("certificate names `{found}`, but `{wanted}` was asked for")]
    Identity {
        /// The name it has.
        found: SpiffeId,
        /// The name it should have.
        wanted: SpiffeId,
    },
    /// It is over already, or this machine's clock is ahead.
    #[error("certificate ended at {at}, before it came: the CA's clock and this machine's disagree")]
    Expired {
        /// When it ended.
        at: Timestamp,
    },
    /// It has not begun, or this machine's clock is behind.
    #[error("certificate begins at {at}, which is still to come: the CA's clock and this machine's disagree")]
    NotYetValid {
        /// When it begins.
        at: Timestamp,
    },
    /// A token that says something else than was asked for, or nothing.
    #[error("token in the answer is not the one that was asked for")]
    Token,
    /// No path leads to the roots that came with it.
    #[error("certificate is not trusted by the roots that came with it")]
    Untrusted(#[from] VerifyError),
}

impl AnswerError {
    /// The error's name in metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooShort { .. } | Self::TooLong { .. } => "answer_shape",
            Self::Roots(_) => "answer_roots",
            Self::Chain(_) | Self::Svid(_) => "answer_chain",
            Self::Key(_) => "key",
            Self::Identity { .. } => "answer_identity",
            Self::Expired { .. } => "answer_expired",
            Self::NotYetValid { .. } => "answer_not_yet_valid",
            Self::Token => "answer_token",
            Self::Untrusted(_) => "answer_untrusted",
        }
    }
}

/// Judges the answer at `now` and joins it with `key`.
pub(super) fn verify(
    elements: &[String],
    key: &PrivateKey,
    wanted: &SpiffeId,
    now: Timestamp,
) -> Result<Issued, AnswerError> {
    let (chain, bundle) = parse(elements, wanted)?;
    // A copy, since the same key serves the next try should this answer be refused.
    let key = PrivateKey::from_pkcs8(key.to_pkcs8())?;
    let svid = Svid::new(chain, key)?;
    if svid.id() != wanted {
        return Err(AnswerError::Identity { found: svid.id().clone(), wanted: wanted.clone() });
    }
    let lifetime = svid.lifetime();
    if lifetime.not_after() <= now {
        return Err(AnswerError::Expired { at: lifetime.not_after() });
    }
    if lifetime.not_before() > now {
        return Err(AnswerError::NotYetValid { at: lifetime.not_before() });
    }
    bundle.verify(svid.chain(), now)?;
    Ok(Issued { svid, bundle, token_trouble: None })
}

fn parse(elements: &[String], wanted: &SpiffeId) -> Result<(Vec<Certificate>, TrustBundle), AnswerError> {
    let (roots, chain) = match elements.split_last() {
        Some((roots, chain)) if !chain.is_empty() => (roots, chain),
        _ => return Err(AnswerError::TooShort { elements: elements.len() }),
    };
    if chain.len() > svid::CHAIN_MAX_CERTIFICATES {
        return Err(AnswerError::TooLong { elements: elements.len() });
    }
    let bundle = TrustBundle::from_pem(wanted.trust_domain(), trimmed(roots, bundle::BUNDLE_PEM_MAX_BYTES))?;
    let mut certificates = Vec::new();
    for element in chain {
        certificates.extend(Certificate::list_from_pem(trimmed(element, ELEMENT_MAX_BYTES), ELEMENT_MAX_BYTES)?);
    }
    // Some CAs repeat the root at the end of the chain. Peers have it already; it would only make handshakes longer.
    certificates.retain(|certificate| !(certificate.is_ca() && certificate.is_self_issued()));
    Ok((certificates, bundle))
}

fn trimmed(text: &str, max: usize) -> &[u8] {
    // Cut a byte over the bound, so that the reader still refuses what is too large without seeing all of it.
    text.as_bytes().get(..=max).unwrap_or(text.as_bytes())
}

#[cfg(test)]
mod tests;

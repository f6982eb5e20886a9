//! What Istio's mesh config says of trust domains, and how that goes with the own one.
//!
//! Pure. The own setting is the anchor: keys, tokens and bundles are made for it, and identities that suddenly bear
//! another name are refused by whoever does not know it. What a mesh config says of aliases decides how bad a difference
//! is, and whether it can be followed.

use std::fmt;

use serde::Deserialize;
use serde_saphyr::{Options, budget, options};
use signet_identity::{SpiffeIdError, TrustDomain};

/// Istio's own name where a mesh config gives none.
const DEFAULT: &str = "cluster.local";

/// Most aliases that are looked at.
const ALIASES_MAX: usize = 256;

/// Most bytes of an error's words that are kept.
const WORDS_MAX_CHARS: usize = 200;

/// Most nodes, events and text of a mesh config, and how deep it may be.
const NODES_MAX: usize = 50_000;
const DEPTH_MAX: usize = 48;
const TEXT_MAX_BYTES: usize = 1024 * 1024;

/// Most anchors, and uses of them: mesh configs need none, and a few can grow without bound.
const ANCHORS_MAX: usize = 64;

/// What a mesh config says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MeshConfig {
    pub(super) trust_domain: TrustDomain,
    /// Names that proxies take for it.
    pub(super) aliases: Vec<String>,
}

/// Why a mesh config says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MeshConfigError {
    /// No YAML, or not of the form that a mesh config has.
    #[error("it cannot be read: {0}")]
    Yaml(String),
    /// A trust domain that cannot be one.
    #[error("its trust domain is none: {0}")]
    TrustDomain(#[from] SpiffeIdError),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fields {
    #[serde(rename = "trustDomain", alias = "trust_domain")]
    trust_domain: Option<String>,
    #[serde(rename = "trustDomainAliases", alias = "trust_domain_aliases")]
    aliases: Option<Vec<String>>,
}

/// Bounds of what is read, so that whoever may write a mesh config cannot make the reader work without end.
fn bounds() -> Options {
    options! {
        budget: budget! {
            max_events: 2 * NODES_MAX,
            max_aliases: ANCHORS_MAX,
            max_anchors: ANCHORS_MAX,
            max_recorded_anchor_events: NODES_MAX,
            max_recorded_anchor_bytes: TEXT_MAX_BYTES,
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_documents: 1,
            max_nodes: NODES_MAX,
            max_total_scalar_bytes: TEXT_MAX_BYTES,
            max_merge_keys: ANCHORS_MAX,
        },
    }
}

impl MeshConfig {
    /// Reads the entry `mesh` of Istio's ConfigMap.
    ///
    /// # Errors
    /// Every variant of [`MeshConfigError`].
    pub(super) fn read(text: &str) -> Result<Self, MeshConfigError> {
        let said = |words: String| words.lines().next().unwrap_or_default().chars().take(WORDS_MAX_CHARS).collect();
        if text.len() > TEXT_MAX_BYTES {
            return Err(MeshConfigError::Yaml(format!("it has more than {TEXT_MAX_BYTES} bytes")));
        }
        let read = serde_saphyr::from_str_with_options::<Option<Fields>>(text, bounds());
        let fields = read.map_err(|error| MeshConfigError::Yaml(said(error.to_string())))?.unwrap_or_default();
        let name = fields.trust_domain.filter(|name| !name.is_empty());
        // As istiod does.
        let name = name.map_or_else(|| DEFAULT.to_owned(), |name| name.replace('@', "."));
        let mut aliases = fields.aliases.unwrap_or_default();
        aliases.truncate(ALIASES_MAX);
        Ok(Self { trust_domain: name.parse()?, aliases })
    }

    /// How it goes with our `own` trust domain.
    pub(super) fn against(&self, own: &TrustDomain) -> Verdict {
        if self.trust_domain == *own {
            Verdict::Agrees
        } else if self.aliases.iter().any(|alias| alias == own.as_str()) {
            Verdict::Aliased { theirs: self.trust_domain.clone() }
        } else {
            Verdict::Foreign { theirs: self.trust_domain.clone() }
        }
    }
}

/// How a mesh config goes with our own trust domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It names the same.
    Agrees,
    /// It names another, of which ours is an alias: proxies accept what is issued here.
    Aliased {
        /// The mesh's trust domain.
        theirs: TrustDomain,
    },
    /// It names another that others speak for.
    Reserved {
        /// That trust domain.
        theirs: TrustDomain,
    },
    /// It names another, and proxies that follow it refuse what is issued here.
    Foreign {
        /// The mesh's trust domain.
        theirs: TrustDomain,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agrees => write!(f, "the mesh config has the same trust domain"),
            Self::Aliased { theirs } => write!(
                f,
                "the mesh config's trust domain is `{theirs}` and not `trust_domain`, which it has as an alias: what is \
                 issued here is accepted"
            ),
            Self::Reserved { theirs } => write!(
                f,
                "the mesh config's trust domain is `{theirs}`, for which others speak by these settings: it is not taken"
            ),
            Self::Foreign { theirs } => write!(
                f,
                "the mesh config's trust domain is `{theirs}` and not `trust_domain`, which is no alias there: proxies \
                 may refuse what is issued here"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(name: &str) -> TrustDomain {
        name.parse().unwrap()
    }

    fn check(text: &str, trust_domain: &str, aliases: &[&str]) {
        let read = MeshConfig::read(text).unwrap();
        assert_eq!(
            (read.trust_domain.as_str(), read.aliases),
            (trust_domain, aliases.iter().map(|a| (*a).to_owned()).collect()),
            "{text}"
        );
    }

    #[test]
    fn a_mesh_config_is_read_as_istiod_reads_it() {
        check("", "cluster.local", &[]);
        check("accessLogFile: /dev/stdout\n", "cluster.local", &[]);
        check("trustDomain: \"\"\n", "cluster.local", &[]);
        check(
            "trustDomain: example.org\ntrustDomainAliases:\n- old.example\n- cluster.local\n",
            "example.org",
            &["old.example", "cluster.local"],
        );
        check("{\"trust_domain\": \"example.org\", \"trust_domain_aliases\": [\"a\"]}", "example.org", &["a"]);
        check(
            "trustDomain: me@example.org\ndefaultConfig: {proxyMetadata: {A: b}, deep: [[[1]]]}\n",
            "me.example.org",
            &[],
        );
        check("trustDomain: example.org\ntrustDomainAliases: null\n", "example.org", &[]);
    }

    #[test]
    fn what_is_no_mesh_config_says_nothing() {
        for text in [
            "trustDomain: [",
            "trustDomain: {a: b}\n",
            "trustDomainAliases: all\n",
            "trustDomain: a\ntrustDomain: b\n",
            "- a\n",
            "trustDomain: a\n---\ntrustDomain: b\n",
            "\u{0}",
        ] {
            assert!(matches!(MeshConfig::read(text), Err(MeshConfigError::Yaml(_))), "{text:?}");
        }
        for name in ["UPPER", "spiffe://a", "a/b", "a b"] {
            let text = format!("trustDomain: \"{name}\"\n");
            assert!(matches!(MeshConfig::read(&text), Err(MeshConfigError::TrustDomain(_))), "{name}");
        }
    }

    #[test]
    fn what_would_grow_without_bound_is_refused_at_once() {
        let mut laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (before, name) in ('a'..='y').zip('b'..='z') {
            laughs.push_str(&format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 10].join(", ")));
        }
        let deep = format!("a: {}{}", "[".repeat(10_000), "]".repeat(10_000));
        let block: String = (0..5_000).map(|depth| format!("{}a:\n", " ".repeat(depth.min(400)))).collect();
        let many = format!("a: [{}]", "x, ".repeat(NODES_MAX + 1));
        let documents = "---\na: b\n".repeat(1000);
        let large = format!("a: {}", "x".repeat(TEXT_MAX_BYTES));
        let all = [laughs, deep, block, many, documents, large];
        for (number, text) in all.into_iter().enumerate() {
            let began = std::time::Instant::now();
            assert!(matches!(MeshConfig::read(&text), Err(MeshConfigError::Yaml(_))), "{number}");
            assert!(began.elapsed() < std::time::Duration::from_secs(5), "{number}");
        }
    }

    #[test]
    fn a_difference_is_as_bad_as_proxies_take_it() {
        let of = |text: &str| MeshConfig::read(text).unwrap().against(&domain("cluster.local"));
        assert_eq!(of("trustDomain: cluster.local\n"), Verdict::Agrees);
        let theirs = domain("example.org");
        let aliased = "trustDomain: example.org\ntrustDomainAliases: [cluster.local]\n";
        assert_eq!(of(aliased), Verdict::Aliased { theirs: theirs.clone() });
        assert_eq!(of("trustDomain: example.org\ntrustDomainAliases: [other]\n"), Verdict::Foreign { theirs });
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[\\PC\n\t&*{}\\[\\]:,-]{0,200}") {
            let _ = MeshConfig::read(&text);
        }
    }
}

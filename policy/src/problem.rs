//! What is wrong with a text: a stable code, how bad it is, a sentence, a hint and the place.
//!
//! Codes are a contract: a code never changes its meaning and is never used again for another. Below `SIG0100` the
//! text could not be read as what it claims to be; the checks of what was read begin at `SIG0101`.

use std::fmt;

use crate::source::{Place, Sources};

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Accepted, but it hardly means what its author thinks.
    Warning,
    /// The API server refuses it, or nobody can tell what it means.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One row for each code: its variant, its number, its severity and what it is about.
macro_rules! codes {
    ($($name:ident $number:literal $severity:ident $about:literal;)*) => {
        /// The stable name of a kind of problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $about] $name,)*
        }

        impl Code {
            /// Every code, in order of its number.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// For instance `SIG0001`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => concat!("SIG", $number),)* }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// What it is about, in one sentence.
            pub fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)* }
            }
        }
    };
}

codes! {
    NotYaml "0001" Error "the text is neither YAML nor JSON";
    TooLarge "0002" Error "the text exceeds a bound: bytes, depth, values or documents";
    AliasBound "0003" Error "the aliases of the text stand for more values than are accepted";
    DuplicateKey "0004" Error "a mapping holds the same key twice";
    Unsupported "0005" Error "the text uses a part of YAML that manifests have no use for";
    NotAnObject "0006" Error "a document is not an object with `apiVersion`, `kind` and a name";
    WrongType "0007" Error "a field holds a value of another type";
    UnknownValue "0008" Error "a field holds a value that its type does not list";
    UnknownField "0009" Warning "a field is not known and will be dropped by the API server";
    OtherKind "0010" Note "an object is of a kind that says nothing about policy";
    DuplicateObject "0011" Error "two objects have the same kind, namespace and name";
    SecondMeshConfig "0012" Error "there is more than one mesh configuration";
    NullValue "0013" Warning "a field is there but has no value, and counts as absent";
    TooManyProblems "0014" Error "there are more problems than are told";

    // What the API server or the admission webhook refuses in any of the kinds.
    ApiVersion "0101" Error "an object is of a version that is not served";
    ObjectName "0102" Error "a name or a namespace that Kubernetes does not accept";
    Missing "0103" Error "a field that must be there is not";
    TooShort "0104" Error "a value is empty where something is wanted";
    TooLong "0105" Error "a value or a list is longer than is accepted";
    BadForm "0106" Error "a value is not of the form that its field wants";
    TargetConflict "0107" Error "more than one of `selector`, `targetRef` and `targetRefs` is given";
    TargetKind "0108" Error "a target reference names a kind that no policy can be attached to";
    SelectorLabel "0109" Error "a selector holds a label that is not accepted";
    DryRunMisplaced "0110" Error "`istio.io/dry-run` stands where nothing can be a dry run";
    DryRunValue "0111" Error "the value of `istio.io/dry-run` is no boolean, so the policy is enforced";

    // AuthorizationPolicy.
    NoRules "0201" Error "a DENY or CUSTOM policy has no rules";
    ProviderUnused "0202" Error "a provider is named, and the action is not CUSTOM";
    ProviderMissing "0203" Error "a CUSTOM policy names no provider";
    CustomIdentity "0204" Error "a CUSTOM policy asks for an attribute that does not exist yet where CUSTOM is evaluated";
    NullRule "0205" Error "a rule, source or operation is null";
    EmptyClause "0206" Error "`from`, `to`, `source` or `operation` is there and holds nothing";
    ServiceAccountsMixed "0207" Error "`serviceAccounts` stand beside `principals` or `namespaces`";
    EmptyValue "0208" Error "a list holds an empty string";
    BadAddress "0209" Error "a value is neither an IP address nor a CIDR block";
    BadPort "0210" Error "a value is no port";
    BadServiceAccount "0211" Error "a value is no service account";
    BadTrustDomain "0212" Error "a value is no pattern on a trust domain";
    BadPath "0213" Error "a value is no path and no path template";
    CrashingTemplate "0214" Error "a path template that the webhook accepts and that makes Envoy abort";
    UnknownKey "0215" Error "a key of `when` is not known, and its rule is skipped, a DENY rule too";
    NoValues "0216" Error "a condition of `when` has no values";

    // PeerAuthentication.
    PortsWithoutSelector "0301" Error "`portLevelMtls` stands in a policy that selects no workload";
    PortRange "0302" Error "a port is not between 1 and 65535";

    // RequestAuthentication.
    NoIssuer "0401" Error "a JWT rule has neither `issuer` nor `jwksUri`";
    JwksConflict "0402" Error "a JWT rule has more than one of `jwks`, `jwksUri` and `jwks_uri`";
    BadJwks "0403" Error "`jwks` is no JSON Web Key Set";
    SecretKey "0404" Warning "`jwks` holds a key that must stay secret";
    BadTimeout "0405" Error "`timeout` is no duration of at least a millisecond";
    SameHeaderTwice "0406" Warning "two claims are copied into the same header";

    // What objects do to each other. Only what was read is known here.
    UnknownNamespace "0501" Warning "a namespace is named that is not among those that were read";
    NoWorkload "0502" Warning "a policy reaches no workload among those that were read";
    ProviderUnknown "0503" Warning "a CUSTOM policy names a provider that the mesh configuration lacks: what it matches is refused";
    ProviderHttpOnTcp "0504" Warning "a CUSTOM policy with an HTTP provider is not enforced on a TCP port";
    TargetMissing "0505" Warning "a policy is attached to an object that is not among those that were read";
    PeerShadowed "0506" Warning "an older PeerAuthentication of the same scope wins, and this one is ignored";
    PeerRootSelector "0507" Warning "a PeerAuthentication with a selector in the root namespace is ignored";
    TokenUnverified "0508" Warning "a rule asks for a token, and no RequestAuthentication verifies one there";
    TokenIssuer "0509" Warning "a rule asks for an issuer that no RequestAuthentication there accepts";
    TokenNotDemanded "0510" Note "tokens are verified, and no policy there asks for one: a request without token passes";
    PortUnknown "0511" Warning "a port that no workload under the policy listens on";
    HttpOnTcpPort "0512" Warning "an HTTP condition on a port where proxies see bytes";
    WaypointSelector "0513" Warning "a policy with a selector reaches waypoints only, and waypoints take none such";
    NegativeStatus "0514" Warning "the mesh reports that a policy is not enforced, or not whole";
    OpenKeyFetch "0515" Warning "key sets are fetched from any address that a RequestAuthentication names";
    NotCompared "0516" Note "there are too many policies and other objects to look at every pair";
    PeerDiverges "0517" Warning "sidecars and ztunnel understand the modes of a PeerAuthentication differently";

    // Accepted, but it hardly means what its author thinks.
    DeniesAll "0601" Note "an ALLOW policy without rules: everything in its scope is refused";
    MatchesAll "0602" Note "an empty rule: everything matches";
    OpenToPlaintext "0603" Warning "an ALLOW rule that only excludes identities lets callers without identity through";
    HttpOnlyDeny "0604" Warning "a DENY rule with HTTP conditions alone: it refuses all of a TCP port, and nothing at ztunnel";
    EmptySelector "0605" Warning "an empty selector: sidecars apply it to the namespace, ztunnel never";
    FragilePath "0606" Warning "a path that is excluded can be written in another way that the mesh does not normalise";
    HostWithoutPort "0607" Warning "a host that is excluded can be written with its port";
    TokenPrincipal "0608" Warning "a request principal that practically no token matches";
    LiteralStar "0609" Warning "a star that is no wildcard where it stands";
    PrincipalScheme "0610" Warning "a principal with its scheme: it never matches";
    AliasNotApplied "0611" Warning "a principal whose trust domain is not rewritten to the mesh's";
    ForeignTrustDomain "0612" Note "a trust domain that is not the mesh's and none of its aliases";
    PresenceInert "0613" Warning "`presence: REQUIRED` is accepted, and nobody acts on it";
    NoTokenRules "0614" Warning "a RequestAuthentication without rules does nothing";
    MethodCase "0615" Warning "a method in lower case: methods are compared with their case";
    SiblingRules "0616" Warning "two rules of which one only says who and the next only what: either alone suffices";
    NeverMatches "0617" Warning "a condition that nothing can meet";
    SameRuleTwice "0618" Note "a rule that stands in the policy already";
    PathNeverMatches "0619" Warning "a path that no request has";
    RegexLike "0620" Warning "a value that looks like a regular expression, which it is not";
    HostNeverMatches "0621" Warning "a host that no request has";
    PortZero "0622" Warning "port 0: nothing listens there";
    HeaderDeny "0623" Note "a DENY rule on a header that Envoy makes one value of when it is sent twice: that value is another";
    SpacedClaim "0624" Warning "a claim that is split at spaces is compared with a value that has one";
}

impl Code {
    /// The code of `istioctl analyze` for the same finding, where it has one.
    pub fn istio(self) -> Option<&'static str> {
        match self {
            Self::UnknownNamespace => Some("IST0101"),
            Self::NoWorkload => Some("IST0127"),
            Self::NegativeStatus => Some("IST0171"),
            Self::OpenKeyFetch => Some("IST0175"),
            code if code.severity() == Severity::Error && code >= Self::ApiVersion => Some("IST0106"),
            _ => None,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind of problem it is.
    pub code: Code,
    /// A sentence without full stop; the user's words stand in backticks.
    pub message: String,
    /// What to do about it, when that is known.
    pub hint: Option<String>,
    /// What the API server itself would say, where that is known.
    pub refusal: Option<String>,
    /// The object that it is about, for instance `AuthorizationPolicy foo/a`, where it is about one.
    pub object: Option<Box<str>>,
    /// Where it stands.
    pub at: Place,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(code: Code, at: Place, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, refusal: None, object: None, at }
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same with the words of the API server.
    #[must_use]
    pub fn with_refusal(self, refusal: impl Into<String>) -> Self {
        Self { refusal: Some(refusal.into()), ..self }
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// For people: severity, code, sentence, place, snippet and hint.
    pub fn render(&self, sources: &Sources) -> String {
        let mut text = format!("{}[{}]: {}\n", self.severity(), self.code, crate::source::printable(&self.message));
        text.push_str(&sources.snippet(self.at));
        let notes = [("object", self.object.as_deref()), ("hint", self.hint.as_deref())];
        for (name, note) in notes.into_iter().chain([("api server", self.refusal.as_deref())]) {
            if let Some(note) = note {
                text.push_str(&format!("  = {name}: {}\n", crate::source::printable(note)));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_by_their_numbers_which_rise() {
        let numbers: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    }
}

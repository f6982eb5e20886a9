//! Puts a question to the engine: who is asked, what the token is, what mutual TLS demands, and then the policies.

use signet_identity::{JwkSet, Timestamp};
use signet_policy::RuleId;
use signet_policy::decide::{Cause, Verdict};
use signet_policy::model::{Labels, Workload, World};
use signet_policy::mtls::{self, Effective};
use signet_policy::request::{Claims, Headers, Http, Request, Token};
use signet_policy::select::{AttachedService, Destination, Selection, Switches};
use signet_policy::token::{Authentication, Providers};
use signet_policy::trace::{Trace, trace};
use signet_policy::ztunnel::{Connection, Known, Peer};

use super::PolicyError;
use super::question::{At, Question};

/// The answer, and everything that led to it.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) verdict: Verdict,
    /// What settled it, as a sentence without full stop.
    pub(crate) because: String,
    /// The policy and the rule that settled it, where one did.
    pub(crate) rule: Option<RuleId>,
    /// `NAMESPACE/NAME` of what settled it, where an object did.
    pub(crate) policy: Option<String>,
    /// The provider that is asked first.
    pub(crate) asks: Option<String>,
    /// The mode of mutual TLS on the port, and who decided it.
    pub(crate) mtls: Option<String>,
    /// What became of the token.
    pub(crate) token: Option<String>,
    /// What the point cannot enforce as it was written: the sentence, and the place of each.
    pub(crate) not_enforceable: Vec<(String, signet_policy::Place)>,
    /// What the answer would be if dry runs were enforced.
    pub(crate) dry_run: Option<Verdict>,
    /// Every policy, rule and condition; ztunnel has none.
    pub(crate) trace: Option<Trace>,
}

/// What an answer depends on beside the policies and the question.
pub(crate) struct Around<'a> {
    pub(crate) keys: Option<&'a JwkSet>,
    pub(crate) now: Timestamp,
}

/// Answers one question.
pub(crate) fn ask(world: &World, question: &Question, around: &Around<'_>) -> Result<Answered, PolicyError> {
    let destination = destination(world, question)?;
    let selection = Selection {
        root_namespace: &world.mesh.root_namespace,
        switches: Switches::default(),
        destination: &destination,
        point: question.at.into(),
    };
    let headers = question.http.as_ref().map(|http| &http.headers);
    let lines =
        headers.into_iter().flatten().flat_map(|(name, lines)| lines.each().iter().map(move |l| (&**name, &**l)));
    let headers: Headers<'_> = lines.collect();
    let http = question
        .http
        .as_ref()
        .map(|http| Http::new(&http.method, &http.host, &http.path, world.mesh.normalization, headers));
    let http = http.transpose().map_err(|error| PolicyError::Request(error.to_string()))?;
    let given = question.claims.as_ref().map(|claims| Claims::new(claims.clone(), &[]));
    let authentication = match &http {
        Some(http) if given.is_none() && selection.point.sees_http() => {
            Providers::new(world, &selection, &|_| around.keys.cloned()).authenticate(http, around.now)
        }
        _ => Authentication::Absent,
    };
    let mut request = Request::new(question.from.ip, question.to.ip, question.to.port);
    request.remote_ip = question.from.remote_ip.unwrap_or(question.from.ip);
    request.sni = question.from.sni.as_deref().unwrap_or_default();
    request = request
        .with_identity(question.from.identity.as_deref().unwrap_or_default())
        .map_err(|error| PolicyError::Request(error.to_string()))?;
    request.http = http;
    request.token = given.as_ref().map_or_else(|| Token::from(&authentication), Token::Verified);
    let modes = mtls::effective(&world.peer, selection.root_namespace, &destination.namespace, &destination.labels);
    let mut answered = match question.at {
        At::Ztunnel => at_ztunnel(world, &destination, &request),
        _ => at_envoy(world, &selection, &request),
    };
    answered.token = told(&authentication);
    if matches!(question.at, At::SidecarHttp | At::SidecarTcp) {
        handshake(&modes, question, &mut answered);
    }
    Ok(answered)
}

/// The workload that is called.
pub(crate) fn destination(world: &World, question: &Question) -> Result<Destination, PolicyError> {
    let to = &question.to;
    let mut destination = match (&to.workload, &to.namespace) {
        (Some(name), None) if to.labels.is_empty() => {
            let is = |workload: &&Workload| workload.meta.to_string() == *name;
            let found = world.workloads.iter().find(is);
            Destination::of(found.ok_or_else(|| PolicyError::Request(format!("there is no workload `{name}`")))?)
        }
        (None, Some(namespace)) => {
            let labels: Labels = to.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
            Destination { namespace: namespace.as_str().into(), labels, ..Destination::default() }
        }
        _ => {
            let message = "say either `workload`, or `namespace` with or without `labels`";
            return Err(PolicyError::Request(message.to_owned()));
        }
    };
    destination.is_waypoint |= question.at == At::Waypoint;
    if let Some(service) = &to.service {
        let wanted = || PolicyError::Request(format!("`{service}` is no `NAMESPACE/NAME` of a service"));
        let (namespace, name) = service.split_once('/').ok_or_else(wanted)?;
        let entry = world.service_entries.iter().any(|entry| entry.meta.to_string() == *service);
        destination.service =
            Some(AttachedService { namespace: namespace.into(), name: name.into(), from_service_entry: entry });
    }
    Ok(destination)
}

fn at_envoy(world: &World, selection: &Selection<'_>, request: &Request<'_>) -> Answered {
    let trace = trace(world, selection, request);
    let decision = trace.reasons.decision;
    let rule = match decision.cause {
        Cause::Rule(rule) => Some(rule),
        _ => None,
    };
    let because = match decision.cause {
        Cause::Rule(rule) => format!("{} matches", rule_name(world, rule)),
        Cause::NoAllowPolicy => "no ALLOW policy is there, and no rule refuses it".to_owned(),
        Cause::NoRuleMatches => "there are ALLOW policies, and no rule of theirs matches".to_owned(),
        Cause::NoHttp => "the point sees HTTP, and the request has no `http`".to_owned(),
        Cause::TokenRefused => "its token is refused".to_owned(),
    };
    let asks = decision.asks.and_then(|rule| policy(world, rule.policy)?.provider.as_ref());
    let not_enforceable = trace.unenforceable.iter().map(|one| {
        let name = policy_name(world, one.policy);
        let rule = one.rule.map(|rule| format!(" rule {rule}")).unwrap_or_default();
        (format!("{name}{rule}: `{}`: {}", one.subject, effect(one.effect)), one.at)
    });
    Answered {
        verdict: decision.verdict,
        because,
        rule,
        policy: rule.map(|rule| policy_name(world, rule.policy)),
        asks: asks.map(ToString::to_string),
        mtls: None,
        token: None,
        not_enforceable: not_enforceable.collect(),
        dry_run: trace.reasons.dry_run.verdict,
        trace: Some(trace),
    }
}

fn at_ztunnel(world: &World, destination: &Destination, request: &Request<'_>) -> Answered {
    let known = Known::new(world, Switches::default(), destination);
    let connection = Connection {
        identity: request.identity().and_then(Peer::parse),
        source_ip: request.source_ip,
        destination_ip: request.destination_ip,
        destination_port: request.destination_port,
    };
    let answer = known.decide(&destination.namespace, &connection);
    let by = answer.by.map(|by| format!("{}/{}", by.namespace, by.name));
    let because = match (&by, answer.allowed) {
        (Some(by), _) => format!("{by} matches"),
        (None, true) => "no ALLOW policy is there, and none refuses it".to_owned(),
        (None, false) => "there are ALLOW policies, and none of them matches".to_owned(),
    };
    let refused = known.refused.iter().filter_map(|(index, why)| {
        let policy = world.authorization.get(*index)?;
        Some((format!("{}: {why}", policy.meta), policy.meta.at))
    });
    let unknown = answer.unknown.iter().map(|name| {
        (format!("{name}: the workload lists it, and ztunnel is never told it"), signet_policy::Place::default())
    });
    Answered {
        verdict: if answer.allowed { Verdict::Allow } else { Verdict::Deny },
        because,
        rule: None,
        policy: by,
        asks: None,
        mtls: None,
        token: None,
        not_enforceable: refused.chain(unknown).collect(),
        dry_run: None,
        trace: None,
    }
}

/// What mutual TLS demands of the connection comes before any policy.
fn handshake(modes: &Effective<'_>, question: &Question, answered: &mut Answered) {
    let port = question.to.port;
    let named = modes.ports.iter().find(|entry| entry.port == u32::from(port)).map(|entry| entry.decided_by);
    let by = named.or(modes.decided_by).map(|policy| policy.meta.to_string());
    let who = by.as_deref().unwrap_or("no PeerAuthentication");
    answered.mtls = Some(format!("{} by {who}", modes.at(port)));
    let has_identity = question.from.identity.as_deref().is_some_and(|identity| !identity.is_empty());
    let refused = if has_identity { !modes.accepts_mutual_tls(port) } else { !modes.accepts_plaintext(port) };
    if refused {
        let what = if has_identity { "mutual TLS" } else { "plaintext" };
        answered.verdict = Verdict::Deny;
        answered.because = format!("port {port} takes no {what}: {} by {who}", modes.at(port));
        answered.rule = None;
        answered.policy = by;
    }
}

fn told(authentication: &Authentication) -> Option<String> {
    match authentication {
        Authentication::Absent => None,
        Authentication::Verified { .. } => Some("verified".to_owned()),
        Authentication::Refused(refusals) => {
            let reasons: Vec<String> = refusals.iter().map(|(_, refusal)| refusal.to_string()).collect();
            Some(format!("refused: {}", reasons.join("; ")))
        }
    }
}

fn policy(world: &World, index: u32) -> Option<&signet_policy::model::AuthorizationPolicy> {
    world.authorization.get(usize::try_from(index).ok()?)
}

/// `NAMESPACE/NAME` of a policy.
pub(crate) fn policy_name(world: &World, index: u32) -> String {
    policy(world, index).map(|policy| policy.meta.to_string()).unwrap_or_default()
}

fn rule_name(world: &World, rule: RuleId) -> String {
    let action = policy(world, rule.policy).map(|policy| policy.action.to_string()).unwrap_or_default();
    format!("rule {} of {action} {}", rule.rule, policy_name(world, rule.policy))
}

/// What a point does instead, in words.
pub(crate) fn effect(effect: signet_policy::compile::Effect) -> &'static str {
    use signet_policy::compile::Effect;
    match effect {
        Effect::RuleDropped => "cannot be enforced here, so the rule never matches",
        Effect::ConditionDropped => "cannot be enforced here, and the rule matches without it",
        Effect::ValueDropped => "is no value, and is left out",
        Effect::PolicyDropped => "cannot be enforced here, and is left out",
        Effect::Refused => "cannot be asked, so what the rules match is refused",
        Effect::NeverHolds => "is known only later, so it never holds",
    }
}

/// A verdict as it is told.
pub(crate) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::Undecided => "undecided",
    }
}

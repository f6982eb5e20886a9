//! Everything that is wrong with a set of manifests, offline: what the API server refuses, what only the admission
//! webhook refuses, what objects do to each other, and what hardly means what its author thinks.
//!
//! Rules on the form look at the nodes, since a model no longer knows what was written and empty; everything else looks
//! at the model. Nothing here decides a request.

mod authorization;
mod cross;
mod findings;
mod manifest;
mod request;
mod schema;
mod status;
mod structure;
#[cfg(test)]
mod tests;
mod traps;

use self::findings::Findings;
use self::manifest::Manifest;
use crate::model::{Parsed, ReadOptions, Reading, World, read_parsed};
use crate::problem::{Problem, Severity};
use crate::source::{Sources, documents};

/// What came of checking.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What was read, with the problems of reading.
    pub reading: Reading,
    /// Every problem, those of reading too, in the order of the texts.
    pub problems: Vec<Problem>,
}

impl Checked {
    /// How many problems are as bad as that.
    pub fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity() == severity).count()
    }
}

/// Reads every text and checks what was read, as far as it could be.
pub fn check(sources: &Sources, options: &ReadOptions) -> Checked {
    let parsed: Vec<Parsed> = sources.ids().map(|id| documents(sources, id)).collect();
    let reading = read_parsed(&parsed, sources, options);
    let mut findings = Findings::default();
    let (world, namespace) = (reading.partial(), &options.default_namespace);
    for document in parsed.iter().flatten().flatten() {
        manifest::each(document, &mut |node| match Manifest::new(node, namespace) {
            Some(manifest) => form(&manifest, &mut findings),
            None => status::istiod(node, !world.request.is_empty(), namespace, &mut findings),
        });
    }
    meaning(world, &mut findings);
    let mut problems = reading.problems.clone();
    problems.extend(findings.into_problems());
    problems.sort_by_key(|problem| (problem.at, problem.code));
    Checked { reading, problems }
}

/// What the nodes of one object tell.
fn form(manifest: &Manifest<'_>, findings: &mut Findings) {
    findings.about(manifest.to_string());
    manifest::check(manifest, findings);
    status::conditions(manifest, findings);
    let Some(spec) = manifest.spec() else { return };
    schema::check(manifest.kind, spec, findings);
    structure::check(manifest.kind, spec, findings);
}

/// What the model tells.
fn meaning(world: &World, findings: &mut Findings) {
    for policy in &world.authorization {
        findings.about(format!("AuthorizationPolicy {}", policy.meta));
        authorization::check(policy, findings);
        traps::authorization(policy, world, findings);
    }
    for policy in &world.peer {
        findings.about(format!("PeerAuthentication {}", policy.meta));
        traps::peer(policy, findings);
    }
    for policy in &world.request {
        findings.about(format!("RequestAuthentication {}", policy.meta));
        request::check(policy, findings);
        traps::request(policy, findings);
    }
    cross::check(world, findings);
}

//! Which keys a rule is filed under.

use std::collections::HashMap;

use super::{Index, Shape};
use crate::compile::key::{Key, Part, Seed, field_number, nth_segment};
use crate::compile::set::StringSet;
use crate::compile::{Check, Conjunction, Matcher, Rule};
use crate::model::Part as TemplatePart;
use crate::model::{Cidr, Field, Glob, PathPattern, PathTemplate, StringPattern};

/// Most keys that a rule is filed under; one with more in each of its parts is always tried.
const KEYS_MAX: usize = 4096;

/// Segments of a path, from its beginning, by which rules are filed.
const SEGMENTS_MAX: u32 = 8;

/// A key, what it says about the field's shape, and how many requests share it for other reasons than the rules do.
#[derive(Debug, Clone, Copy)]
struct Filing {
    key: Key,
    field: Field,
    part: Part,
    /// Bytes of a prefix or suffix, bits of a block.
    length: u32,
}

impl Filing {
    /// A short prefix pins little down: each of its rules counts as many.
    fn weight(&self) -> u64 {
        match self.part {
            Part::Whole => 2,
            Part::There => 16,
            Part::Segment => 4,
            Part::Prefix | Part::Suffix => 3 + 64 / (u64::from(self.length) + 1),
        }
    }
}

type Filings = Vec<Filing>;

/// For each clause that must hold, or each of several of which one must: the ways to file it.
type Way = Vec<Vec<Filings>>;

pub(super) fn index(rules: &[Rule]) -> Index {
    let ways: Vec<Vec<Way>> = rules.iter().map(ways).collect();
    let mut shared: HashMap<Key, u64> = HashMap::new();
    for filing in ways.iter().flatten().flatten().flatten().flatten() {
        *shared.entry(filing.key).or_default() += 1;
    }
    let mut index = Index::default();
    let mut filed: Vec<(Key, u32)> = Vec::new();
    for (rule, ways) in (0_u32..).zip(ways) {
        let Some(filings) = cheapest(&ways, &shared) else {
            index.always.push(rule);
            continue;
        };
        for filing in filings {
            filed.push((filing.key, rule));
            if let Some(shape) = index.shapes.get_mut(usize::from(field_number(filing.field))) {
                shape.learn(&filing);
            }
        }
    }
    filed.sort_unstable();
    filed.dedup();
    fill(&mut index, &filed);
    index
}

/// What a request that has one of the keys pays: the rules that share it, and the requests that do.
fn cost(filings: &Filings, shared: &HashMap<Key, u64>) -> (u64, usize) {
    let each = filings.iter().map(|filing| shared.get(&filing.key).unwrap_or(&1) * filing.weight());
    (each.max().unwrap_or(0), filings.len())
}

fn cheapest(ways: &[Way], shared: &HashMap<Key, u64>) -> Option<Filings> {
    let filings = |way: &Way| -> Option<Filings> {
        let clause = |ways: &Vec<Filings>| ways.iter().min_by_key(|filings| cost(filings, shared)).cloned();
        let each: Option<Vec<Filings>> = way.iter().map(clause).collect();
        each.map(|filings| filings.concat()).filter(|filings| filings.len() <= KEYS_MAX)
    };
    ways.iter().filter_map(filings).min_by_key(|filings| cost(filings, shared))
}

fn fill(index: &mut Index, filed: &[(Key, u32)]) {
    for bucket in filed.chunk_by(|left, right| left.0 == right.0) {
        let from = u32::try_from(index.filed.len()).unwrap_or(u32::MAX);
        index.filed.extend(bucket.iter().map(|(_, rule)| *rule));
        let to = u32::try_from(index.filed.len()).unwrap_or(u32::MAX);
        if let Some((key, _)) = bucket.first() {
            index.buckets.insert(*key, (from, to));
        }
    }
}

impl Shape {
    fn learn(&mut self, filing: &Filing) {
        let lengths = match filing.part {
            Part::Whole => return self.whole = true,
            Part::There => return self.there = true,
            Part::Prefix => &mut self.prefixes,
            Part::Suffix => &mut self.suffixes,
            Part::Segment => &mut self.segments,
        };
        if let Err(at) = lengths.binary_search(&filing.length) {
            lengths.insert(at, filing.length);
        }
    }
}

/// Each way to file a rule: by all of `from`, by all of `to`, by any one check of `when`.
fn ways(rule: &Rule) -> Vec<Way> {
    let clause = |clause: &Conjunction| clause.checks.iter().flat_map(check).collect::<Vec<Filings>>();
    let mut ways: Vec<Way> = rule.when.checks.iter().map(|found| vec![check(found)]).collect();
    for clauses in [&rule.from, &rule.to] {
        if !clauses.is_empty() {
            ways.push(clauses.iter().map(clause).collect());
        }
    }
    ways
}

/// The ways to file a check, each by keys of which a request has one when it holds; none when no keys can say that.
fn check(check: &Check) -> Vec<Filings> {
    if check.negated {
        return Vec::new();
    }
    let mut ways: Vec<Filings> = by_values(&check.matcher).into_iter().collect();
    if let Matcher::Path(patterns) = &check.matcher {
        ways.extend((0..SEGMENTS_MAX).filter_map(|at| patterns.iter().map(|pattern| segment(pattern, at)).collect()));
    }
    ways
}

/// The keys by the values as they are; `None` when one of them pins nothing down.
fn by_values(matcher: &Matcher) -> Option<Filings> {
    match matcher {
        Matcher::Principal(set) => strings(set, Field::Principal, &|seed| seed),
        Matcher::Sni(set) => strings(set, Field::Sni, &|seed| seed),
        Matcher::Host(set) => strings(set, Field::Host, &|seed| seed),
        Matcher::Method(set) => strings(set, Field::Method, &|seed| seed),
        Matcher::Header(name, set) => strings(set, Field::Header, &|seed| seed.name(name)),
        Matcher::Claim(path, set) => {
            strings(set, Field::Claim, &|seed| path.iter().fold(seed, |seed, name| seed.name(name)))
        }
        Matcher::Namespace(globs) => globs.iter().map(namespace).collect(),
        Matcher::ServiceAccount(accounts) => {
            let seed = Seed::new(Field::ServiceAccount, Part::Whole);
            let key = accounts.iter().map(|account| {
                // Namespaces with a slash are matched across segments, which keys are not.
                let key = seed.pair(&account.namespace, &account.name);
                (!account.namespace.contains('/')).then(|| whole(Field::ServiceAccount, key))
            });
            key.collect()
        }
        Matcher::TrustDomain(domains) => {
            let seed = &|seed| seed;
            domains.iter().map(|domain| string(domain.pattern(), Field::TrustDomain, seed)).collect()
        }
        Matcher::RequestPrincipal(patterns) => patterns.iter().map(|p| names(&p.issuer, &p.subject)).collect(),
        Matcher::SourceIp(list) => Some(blocks(list, Field::SourceIp)),
        Matcher::RemoteIp(list) => Some(blocks(list, Field::RemoteIp)),
        Matcher::DestinationIp(list) => Some(blocks(list, Field::DestinationIp)),
        Matcher::DestinationPort(ports) => {
            let seed = Seed::new(Field::DestinationPort, Part::Whole);
            Some(ports.iter().map(|port| whole(Field::DestinationPort, seed.port(*port))).collect())
        }
        Matcher::Path(patterns) => patterns.iter().map(path).collect(),
        Matcher::Metadata { .. } | Matcher::Never => None,
    }
}

fn whole(field: Field, key: Key) -> Filing {
    Filing { key, field, part: Part::Whole, length: 0 }
}

fn strings(set: &StringSet, field: Field, name: &dyn Fn(Seed) -> Seed) -> Option<Filings> {
    let exact = set.exact().iter().map(|text| Some(whole(field, name(Seed::new(field, Part::Whole)).text(text))));
    exact.chain(set.others().iter().map(|pattern| string(pattern, field, name))).collect()
}

fn string(pattern: &StringPattern, field: Field, name: &dyn Fn(Seed) -> Seed) -> Option<Filing> {
    let seed = |part| name(Seed::new(field, part));
    let length = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX);
    Some(match pattern {
        StringPattern::Exact(text) => whole(field, seed(Part::Whole).text(text)),
        StringPattern::Prefix(text) => {
            Filing { key: seed(Part::Prefix).text(text), field, part: Part::Prefix, length: length(text) }
        }
        StringPattern::Suffix(text) => {
            Filing { key: seed(Part::Suffix).reversed(text), field, part: Part::Suffix, length: length(text) }
        }
        StringPattern::Presence if matches!(field, Field::Header | Field::Claim) => {
            Filing { key: seed(Part::There).there(), field, part: Part::There, length: 0 }
        }
        StringPattern::Presence => return None,
    })
}

/// By the subject where that pins something down, by the issuer else.
fn names(issuer: &StringPattern, subject: &StringPattern) -> Option<Filing> {
    let field = Field::RequestPrincipal;
    string(subject, field, &|seed| seed).or_else(|| string(issuer, field, &|seed| seed.name("iss")))
}

/// Globs without a star are a whole segment of the name; what stands before a star begins one.
fn namespace(glob: &Glob) -> Option<Filing> {
    let (first, others) = glob.pieces().split_first()?;
    let pattern =
        if others.is_empty() { StringPattern::Exact(first.clone()) } else { StringPattern::Prefix(first.clone()) };
    let pins = !first.contains('/') && (others.is_empty() || !first.is_empty());
    if pins { string(&pattern, Field::Namespace, &|seed| seed) } else { None }
}

fn blocks(blocks: &[Cidr], field: Field) -> Filings {
    let seed = Seed::new(field, Part::Prefix);
    let filing =
        |block: &Cidr| Filing { key: seed.block(*block), field, part: Part::Prefix, length: u32::from(block.prefix()) };
    blocks.iter().map(filing).collect()
}

fn path(pattern: &PathPattern) -> Option<Filing> {
    match pattern {
        PathPattern::Text(pattern) => string(pattern, Field::Path, &|seed| seed),
        PathPattern::Template(template) => string(&longest_end(template), Field::Path, &|seed| seed),
    }
}

/// A segment that stands at a fixed place of the path, whatever operators stand around it.
fn segment(pattern: &PathPattern, at: u32) -> Option<Filing> {
    let text = match pattern {
        PathPattern::Template(template) => fixed_segment(template, at)?,
        PathPattern::Text(StringPattern::Exact(text)) => nth_segment(text, at)?.into(),
        PathPattern::Text(_) => return None,
    };
    let key = Seed::new(Field::Path, Part::Segment).name_at(at).text(&text);
    Some(Filing { key, field: Field::Path, part: Part::Segment, length: at })
}

/// The literal segment there, counted from 0 behind the first slash, as long as no `{**}` stands before it or in it.
fn fixed_segment(template: &PathTemplate, at: u32) -> Option<String> {
    let mut text = String::new();
    for part in template.parts() {
        match part {
            TemplatePart::Literal(literal) => text.push_str(literal),
            // No literal of a template holds this, so a segment with it is none.
            TemplatePart::Segment => text.push('*'),
            TemplatePart::Rest => {
                text.push('*');
                break;
            }
        }
    }
    nth_segment(&text, at).filter(|segment| !segment.contains('*')).map(str::to_owned)
}

/// The literal that a template begins or ends with, whichever is longer.
fn longest_end(template: &PathTemplate) -> StringPattern {
    let literal = |part: Option<&TemplatePart>| match part {
        Some(TemplatePart::Literal(text)) => text.clone(),
        _ => Box::default(),
    };
    let (first, last) = (literal(template.parts().first()), literal(template.parts().last()));
    if last.len() > first.len() { StringPattern::Suffix(last) } else { StringPattern::Prefix(first) }
}

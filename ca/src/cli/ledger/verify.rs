//! `verify`: whether every record is there and none was changed.

use std::io::Write;
use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::{Answer, Form, LookError, tell};
use crate::ledger::{Break, Chain, Entry, Link, Mark, Seen, Visitor, walk};

/// Verifies all chains, each up to the first place that does not hold. `through` must be met on the way, if given.
pub(super) fn verify(
    chains: &[Chain],
    through: Option<Link>,
    form: Form,
    out: &mut dyn Write,
) -> Result<Answer, LookError> {
    let mut judge = Judge { through, met: false, broken: None };
    let mut rows = Vec::with_capacity(chains.len());
    for chain in chains {
        let seen = walk(chain, &mut judge)?;
        rows.push(Row { chain, seen, broken: judge.broken.take() });
    }
    let is_missed = through.is_some() && !judge.met;
    let is_whole = rows.iter().all(|row| row.broken.is_none()) && !is_missed;
    match form {
        Form::Json => {
            let rows: Vec<Value> = rows.iter().map(Row::to_json).collect();
            let answer = json!({ "verified": is_whole, "through": through.map(|_| judge.met), "chains": rows });
            writeln!(out, "{answer:#}")?;
        }
        Form::Table => table(&rows, out)?,
    }
    for row in &rows {
        row.talk();
    }
    if let Some(through) = through.filter(|_| is_missed) {
        tell(format_args!("no chain passes through {through}: records were removed or replaced since it was noted"));
    }
    Ok(if is_whole { Answer::Yes } else { Answer::No })
}

struct Judge {
    through: Option<Link>,
    met: bool,
    broken: Option<Break>,
}

impl Visitor for Judge {
    fn link(&mut self, link: Link) -> ControlFlow<()> {
        self.met |= self.through == Some(link);
        ControlFlow::Continue(())
    }

    fn record(&mut self, _: &Entry<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn broken(&mut self, found: Break) -> ControlFlow<()> {
        self.broken = Some(found);
        ControlFlow::Break(())
    }
}

struct Row<'c> {
    chain: &'c Chain,
    seen: Seen,
    broken: Option<Break>,
}

impl Row<'_> {
    fn to_json(&self) -> Value {
        let Self { chain, seen, broken } = self;
        let mark = |mark: Option<Mark>| mark.map(|Mark { seq, time }| json!({ "seq": seq, "time": time.to_string() }));
        let broken = broken.as_ref().map(|Break { segment, line, record, flaw }| {
            json!({ "segment": segment.display().to_string(), "line": line, "record": record, "flaw": flaw.to_string() })
        });
        json!({
            "chain": chain.number,
            "segments": seen.segments,
            "records": seen.records,
            "bytes": seen.bytes,
            "first": mark(seen.first),
            "last": mark(seen.last),
            "hash": seen.link.to_string(),
            "unfinished_bytes": seen.unfinished_bytes,
            "broken": broken,
        })
    }

    fn talk(&self) {
        if let Some(broken) = &self.broken {
            tell(format_args!("{broken}"));
        }
        if self.seen.unfinished_bytes > 0 {
            let (chain, bytes) = (self.chain.path.display(), self.seen.unfinished_bytes);
            tell(format_args!(
                "`{chain}` ends in {bytes} bytes that are being written now, or were not finished in a crash"
            ));
        }
    }
}

fn table(rows: &[Row<'_>], out: &mut dyn Write) -> Result<(), LookError> {
    writeln!(out, "CHAIN  SEGMENTS  RECORDS     BYTES         FIRST                 LAST                  HASH")?;
    for Row { chain, seen, broken } in rows {
        let time = |mark: Option<Mark>| mark.map_or("-".to_owned(), |mark| mark.time.to_string());
        let Seen { segments, records, bytes, link, .. } = seen;
        let (number, first, last) = (chain.number, time(seen.first), time(seen.last));
        let mark = if broken.is_some() { "  broken behind it" } else { "" };
        writeln!(out, "{number:<5}  {segments:<8}  {records:<10}  {bytes:<12}  {first:<20}  {last:<20}  {link}{mark}")?;
    }
    Ok(())
}

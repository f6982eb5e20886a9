//! `show` and `find`: records that fit, one a line, as they were written.

use std::io::{self, Write};
use std::ops::ControlFlow;

use super::filter::Filter;
use super::{Answer, Form, LookError};
use crate::ledger::{Break, Chain, Entry, Visitor, walk};

/// Prints what fits. A place that does not hold is told, and what stands behind it is shown all the same.
pub(super) fn show(chains: &[Chain], filter: &Filter, form: Form, out: &mut dyn Write) -> Result<Answer, LookError> {
    if form == Form::Table {
        line(out, ["TIME", "SERIAL", "ID", "POD", "NODE", "PEER"])?;
    }
    let mut printer = Printer { filter, form, out, found: 0, broken: None, failed: None };
    for chain in chains {
        walk(chain, &mut printer)?;
        if let Some(error) = printer.failed.take() {
            return Err(error.into());
        }
    }
    match printer.broken {
        Some((breaks, first)) => Err(LookError::Broken { breaks, first }),
        None if printer.found == 0 => Ok(Answer::No),
        None => Ok(Answer::Yes),
    }
}

struct Printer<'a> {
    filter: &'a Filter,
    form: Form,
    out: &'a mut dyn Write,
    found: u64,
    broken: Option<(u64, Break)>,
    failed: Option<io::Error>,
}

impl Printer<'_> {
    fn print(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        if !self.filter.fits_head(&entry.head) {
            return Ok(());
        }
        let record = entry.issued();
        if record.as_ref().is_some_and(|record| !self.filter.fits(record)) {
            return Ok(());
        }
        self.found += 1;
        match (self.form, record) {
            (Form::Json, _) => self.out.write_all(entry.line).and_then(|()| self.out.write_all(b"\n")),
            (Form::Table, Some(record)) => {
                let time = record.time.to_string();
                let pod = [record.namespace.as_deref(), record.pod.as_deref()].map(|name| name.unwrap_or("-"));
                let (node, peer) = (record.node.as_deref().unwrap_or("-"), record.peer.as_deref().unwrap_or("-"));
                line(self.out, [&time, &record.serial, &record.id, &pod.join("/"), node, peer])
            }
            (Form::Table, None) => {
                let time = entry.head.time.to_string();
                line(self.out, [&time, "-", &format!("({})", entry.head.event), "-", "-", "-"])
            }
        }
    }
}

impl Visitor for Printer<'_> {
    fn record(&mut self, entry: &Entry<'_>) -> ControlFlow<()> {
        match self.print(entry) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn broken(&mut self, found: Break) -> ControlFlow<()> {
        match &mut self.broken {
            Some((breaks, _)) => *breaks += 1,
            None => self.broken = Some((1, found)),
        }
        ControlFlow::Continue(())
    }
}

/// Columns of a width that nearly all values have; the rest is not known before it comes.
fn line(out: &mut dyn Write, [time, serial, id, pod, node, peer]: [&str; 6]) -> io::Result<()> {
    writeln!(out, "{time:<20}  {serial:<32}  {id:<48}  {pod:<32}  {node:<16}  {peer}")
}

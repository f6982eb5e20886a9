//! Collects what is found, each with the object that it is about.

use crate::problem::{Code, Problem};
use crate::source::Place;

/// Problems that one check tells; a broken generator would otherwise make millions.
const PROBLEMS_MAX: usize = 10_000;

/// What was found so far.
#[derive(Default)]
pub(super) struct Findings {
    problems: Vec<Problem>,
    object: Box<str>,
}

impl Findings {
    /// What is told from now on is about this object.
    pub(super) fn about(&mut self, object: String) {
        self.object = object.into();
    }

    pub(super) fn push(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { object: Some(self.object.clone()), ..problem });
        } else if self.problems.len() == PROBLEMS_MAX {
            let message = format!("more than {PROBLEMS_MAX} problems; the rest is not told");
            self.problems.push(Problem::new(Code::TooManyProblems, problem.at, message));
        }
    }

    /// A problem that nothing more is known about.
    pub(super) fn tell(&mut self, code: Code, at: Place, message: impl Into<String>) {
        self.push(Problem::new(code, at, message));
    }

    /// A problem, and what to do about it.
    pub(super) fn advise(&mut self, code: Code, at: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Problem::new(code, at, message).with_hint(hint));
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}

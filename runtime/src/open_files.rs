//! How many files, sockets among them, this process may have open at once.
//!
//! The bound that applies at first is customarily 1,024, for the sake of programs that would break above it; the one up
//! to which a program may go is far higher.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the bound to what the operating system allows, and gives it; `u64::MAX` when there is none. Where raising
/// fails, what applied before still does.
pub fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if let Err(error) = raised {
        tracing::warn!(%error, "bound on open files cannot be raised");
    }
    most()
}

/// The bound that applies; `u64::MAX` when there is none.
pub fn most() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_raising_the_bound_is_what_the_operating_system_allows() {
        let allowed = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        assert_eq!((raise(), most()), (allowed, allowed));
    }
}

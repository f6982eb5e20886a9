//! Whose process is at the other end of a connection, for an agent that serves all pods of a node.
//!
//! `process` holds the caller's process fast, `cgroup` reads which pod it belongs to. No socket asks for it yet: the agent
//! serves one workload, and lets in by user.

pub mod cgroup;
pub mod process;

//! The agent's face: a real socket and a real SDS client on one side, a CA that does as it is told on the other.

#![cfg(test)]

mod bad_requests;
mod by_certificate;
mod ca_answers;
mod callers;
mod catalogue;
mod outages;
mod output_files;
mod places;
mod process;
mod programs;
mod protocol;
mod roots;
mod support;
mod tokens;

//! Environment names of another program that users bring along, and that are no settings here. None is passed over in
//! silence.

use super::layers::Layers;
use super::reader::Problem;
use super::setting::{Origin, Value};

/// A name of another program's.
#[derive(Debug, Clone, Copy)]
pub struct Foreign {
    /// The name.
    pub name: &'static str,
    /// What a value of it, which is not empty, amounts to here.
    pub hear: fn(&str) -> Heard,
}

/// What a foreign name's value amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It asks for what is so anyway.
    Agreed,
    /// It is what one of our settings says.
    Means {
        /// The setting's dotted key.
        key: &'static str,
        /// Its value.
        value: &'static str,
    },
    /// It is passed over without harm; the reason is told.
    PassedOver(&'static str),
    /// It asks for what is not to be had, and going on without it would be something else than was asked for; the
    /// reason is told.
    Refused(&'static str),
}

impl Layers {
    /// Adds what a foreign environment variable amounts to, if it is set and not empty.
    pub fn foreign(&mut self, foreign: &Foreign, value: Option<String>) {
        let Some(value) = value.filter(|value| !value.is_empty()) else { return };
        let origin = Origin::Environment(foreign.name.to_owned());
        let told = |why: &str| Problem::new("", origin.clone(), format!("`{value}`: {why}"));
        match (foreign.hear)(&value) {
            Heard::Agreed => {}
            Heard::Means { key, value } => self.set(key, Value::Text(value.to_owned()), origin),
            Heard::PassedOver(why) => self.remarks.push(told(why)),
            Heard::Refused(why) => self.problems.push(told(why)),
        }
    }
}

//! The command line of a daemon: one verb, `run`, on which every setting is a flag.
//!
//! A daemon brings a table of settings; flags, environment names and help all come from it, so they cannot drift apart.
//! What the settings mean is the daemon's business.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::Layers;
use crate::config::Effective;

/// Exit status of a daemon whose settings are wrong.
pub const EXIT_CONFIG: u8 = 2;

const CONFIG: &str = "config";
const CHECK_CONFIG: &str = "check-config";

/// One setting as an operator knows it.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Dotted key in the TOML file; the flag is `--` and the key, and dashes may stand for its dots and underscores.
    pub key: &'static str,
    /// The environment variable that sets it too, if there is one.
    pub environment: Option<&'static str>,
    /// One line of help, default included.
    pub help: &'static str,
}

impl Setting {
    /// A setting that only file and flag can set.
    pub const fn new(key: &'static str, help: &'static str) -> Self {
        Self { key, environment: None, help }
    }

    /// A setting that an environment variable sets too.
    pub const fn known_as(environment: &'static str, key: &'static str, help: &'static str) -> Self {
        Self { key, environment: Some(environment), help }
    }

    fn dashed(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }

    fn flag(&self) -> Arg {
        let environment = self.environment.map(|name| format!(" [env: {name}]")).unwrap_or_default();
        let flag = Arg::new(self.key).long(self.dashed()).value_name("VALUE");
        let flag = if self.dashed() == self.key { flag } else { flag.alias(self.key) };
        flag.help(format!("{}{environment}", self.help))
    }
}

/// What a daemon tells about itself.
#[derive(Debug, Clone, Copy)]
pub struct Daemon {
    /// The program's name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// Examples, each a line that can be pasted.
    pub examples: &'static str,
    /// All its settings.
    pub settings: &'static [Setting],
}

/// What the caller wants.
#[derive(Debug)]
pub struct Invocation {
    /// The settings as written, from file, environment and flags.
    pub layers: Layers,
    /// Say whether they are good, and nothing more.
    pub check_config: bool,
}

impl Daemon {
    /// Reads this process's command line and environment; where help or version is asked for, or the line is wrong,
    /// that is printed and the process ends.
    pub fn parse(&self) -> Invocation {
        self.invocation(&self.command().get_matches(), |name| std::env::var(name).ok())
    }

    /// The grammar.
    pub fn command(&self) -> Command {
        let config = Arg::new(CONFIG).long(CONFIG).value_name("FILE").value_parser(value_parser!(PathBuf));
        let check = Arg::new(CHECK_CONFIG).long(CHECK_CONFIG).action(ArgAction::SetTrue);
        let examples = format!("Examples:\n{}", self.examples);
        let run = Command::new("run")
            .about("Run until stopped")
            .arg(config.help("TOML file with settings; environment and flags win over it"))
            .arg(check.help("Print the settings in force, or everything wrong with them, and end"))
            .args(self.settings.iter().map(Setting::flag))
            .after_help(examples.clone());
        Command::new(self.name)
            .about(self.about)
            .version(self.version)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .subcommand(run)
            .after_help(examples)
    }

    /// Reads a matched command line; `environment` looks a variable up.
    pub fn invocation(&self, matches: &ArgMatches, environment: impl Fn(&str) -> Option<String>) -> Invocation {
        let run = matches.subcommand().map_or(matches, |(_, run)| run);
        let mut layers = Layers::new();
        if let Some(path) = run.get_one::<PathBuf>(CONFIG) {
            layers.file(path);
        }
        for setting in self.settings {
            if let Some(name) = setting.environment {
                layers.environment(name, setting.key, environment(name));
            }
        }
        for setting in self.settings {
            let value = run.get_one::<String>(setting.key).cloned();
            layers.flag(&format!("--{}", setting.dashed()), setting.key, value);
        }
        Invocation { layers, check_config: run.get_flag(CHECK_CONFIG) }
    }
}

/// Prints the settings in force, one `key = "value"  # origin` a line; those that nobody set stand as comments.
///
/// # Errors
/// When stdout cannot be written.
pub fn show(effective: &Effective) -> io::Result<()> {
    let mut out = io::stdout().lock();
    effective.iter().try_for_each(|setting| {
        let unset = if setting.value.is_empty() { "# " } else { "" };
        writeln!(out, "{unset}{} = {:?}  # {}", setting.key, setting.value, setting.origin)
    })
}

/// Tells on stderr why a daemon ends.
pub fn complain(daemon: &Daemon, message: &str) {
    // With stderr gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{}: {message}", daemon.name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reader;

    const DAEMON: Daemon = Daemon {
        name: "d",
        version: "1",
        about: "a daemon",
        examples: "  d run",
        settings: &[Setting::known_as("A_B", "a.b_c", "text"), Setting::new("plain", "text")],
    };

    fn read(args: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
        let matches = DAEMON.command().try_get_matches_from([&["d", "run"], args].concat()).unwrap();
        let look_up =
            |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let mut reader = Reader::new(DAEMON.invocation(&matches, look_up).layers);
        for setting in DAEMON.settings {
            reader.optional::<String>(setting.key);
        }
        let (_, effective) = reader.finish(Some(())).unwrap();
        effective.iter().map(|setting| format!("{} {}", setting.value, setting.origin)).collect()
    }

    #[test]
    fn a_flag_is_spelt_with_dashes_or_as_its_key_and_wins_over_the_environment() {
        assert_eq!(read(&["--a-b-c", "x"], &[("A_B", "y")]), ["x flag --a-b-c", " default"]);
        assert_eq!(read(&["--a.b_c", "x", "--plain", "p"], &[]), ["x flag --a-b-c", "p flag --plain"]);
        assert_eq!(read(&[], &[("A_B", "y")]), ["y environment A_B", " default"]);
    }

    #[test]
    fn a_daemon_without_a_verb_is_told_how_to_run() {
        assert!(DAEMON.command().try_get_matches_from(["d"]).is_err());
        assert!(DAEMON.command().try_get_matches_from(["d", "run", "--unknown", "x"]).is_err());
    }
}

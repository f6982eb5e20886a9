//! The command line of a daemon: `run` and `check-config`, on which every setting is a flag, and verbs of its own.
//!
//! A daemon brings a table of settings; flags, environment names and help all come from it, so they cannot drift apart.
//! What the settings mean is the daemon's business, and so is what its own verbs do.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::config::{Effective, Foreign};
use crate::{ConfigError, Layers};

/// Exit status of a daemon whose settings are wrong.
pub const EXIT_CONFIG: u8 = 2;

/// Exit status of a verb that answers no.
pub const EXIT_NO: u8 = 1;

/// Exit status of a verb that could not answer.
pub const EXIT_UNANSWERED: u8 = 2;

const CONFIG: &str = "config";
const CHECK_CONFIG: &str = "check-config";
const RUN: &str = "run";

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

/// A verb that a daemon brings beside `run` and `check-config`. Data goes to stdout, talk to stderr; the exit status is
/// 0 for yes, [`EXIT_NO`] for no, [`EXIT_UNANSWERED`] when the question could not be answered.
#[derive(Debug, Clone, Copy)]
pub struct Verb {
    /// Its grammar, named, with an example in its help. [`Daemon::with_settings`] gives it the daemon's settings.
    pub command: fn() -> Command,
    /// Does it; gets what was matched below its name.
    pub run: fn(&ArgMatches) -> ExitCode,
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
    /// Environment names of another program that its users bring along.
    pub foreign: &'static [Foreign],
    /// What it can do besides running and checking its settings.
    pub verbs: &'static [Verb],
}

/// What the caller wants. The settings are as they were written, from file, environment and flags.
#[derive(Debug)]
pub enum Invocation {
    /// Run until stopped.
    Run(Layers),
    /// Say whether the settings are good, and nothing more.
    CheckConfig {
        /// The settings.
        layers: Layers,
        /// Exit status when they are not.
        wrong: u8,
    },
    /// One of the daemon's own verbs.
    Verb(Verb, ArgMatches),
}

impl Daemon {
    /// Reads this process's command line and environment; where help or version is asked for, or the line is wrong,
    /// that is printed and the process ends.
    pub fn parse(&self) -> Invocation {
        self.invocation(&self.command().get_matches(), |name| std::env::var(name).ok())
    }

    /// The grammar.
    pub fn command(&self) -> Command {
        let check = Arg::new(CHECK_CONFIG).long(CHECK_CONFIG).action(ArgAction::SetTrue);
        let examples = format!("Examples:\n{}", self.examples);
        let run = Command::new(RUN)
            .about("Run until stopped")
            .arg(check.help("Print the settings in force, or everything wrong with them, and end"))
            .after_help(examples.clone());
        let check_config = Command::new(CHECK_CONFIG)
            .about("Print the settings in force, or everything wrong with them")
            .after_help(format!("Examples:\n  {} check-config --config FILE", self.name));
        Command::new(self.name)
            .about(self.about)
            .version(self.version)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .subcommands([self.with_settings(run), self.with_settings(check_config)])
            .subcommands(self.verbs.iter().map(|verb| (verb.command)()))
            .after_help(examples)
    }

    /// `command` with a flag for the file of settings and one for each setting; [`Daemon::layers`] reads them.
    pub fn with_settings(&self, command: Command) -> Command {
        let config = Arg::new(CONFIG).long(CONFIG).value_name("FILE").value_parser(value_parser!(PathBuf));
        command
            .arg(config.help("TOML file with settings; environment and flags win over it"))
            .args(self.settings.iter().map(Setting::flag))
    }

    /// Reads a matched command line; `environment` looks a variable up.
    pub fn invocation(&self, matches: &ArgMatches, environment: impl Fn(&str) -> Option<String>) -> Invocation {
        match matches.subcommand() {
            Some((CHECK_CONFIG, check)) => {
                Invocation::CheckConfig { layers: self.layers(check, environment), wrong: EXIT_NO }
            }
            Some((RUN, run)) if run.get_flag(CHECK_CONFIG) => {
                Invocation::CheckConfig { layers: self.layers(run, environment), wrong: EXIT_CONFIG }
            }
            Some((name, below)) => match self.verbs.iter().find(|verb| (verb.command)().get_name() == name) {
                Some(verb) => Invocation::Verb(*verb, below.clone()),
                None => Invocation::Run(self.layers(below, environment)),
            },
            None => Invocation::Run(self.layers(matches, environment)),
        }
    }

    /// The settings that `matches` of a command made by [`Daemon::with_settings`] holds, over those of the environment.
    pub fn layers(&self, matches: &ArgMatches, environment: impl Fn(&str) -> Option<String>) -> Layers {
        let mut layers = Layers::new();
        if let Some(path) = matches.get_one::<PathBuf>(CONFIG) {
            layers.file(path);
        }
        for setting in self.settings {
            if let Some(name) = setting.environment {
                layers.environment(name, setting.key, environment(name));
            }
        }
        for foreign in self.foreign {
            layers.foreign(foreign, environment(foreign.name));
        }
        for setting in self.settings {
            let value = matches.get_one::<String>(setting.key).cloned();
            layers.flag(&format!("--{}", setting.dashed()), setting.key, value);
        }
        layers
    }

    /// Answers whether settings are good: those in force on stdout, or everything wrong with them on stderr and `wrong`
    /// as status; [`EXIT_UNANSWERED`] when the file of settings could not be read, or stdout not be written. Remarks go
    /// to stderr.
    pub fn check(&self, read: Result<Effective, ConfigError>, wrong: u8) -> ExitCode {
        if let Ok(effective) = &read {
            effective.remarks.iter().for_each(|remark| complain(self, &remark.to_string()));
        }
        let failed = match read.map(|effective| show(&effective)) {
            Ok(Ok(())) => return ExitCode::SUCCESS,
            Ok(Err(error)) => (format!("cannot write to stdout: {error}"), EXIT_UNANSWERED),
            Err(error) if error.unread => (error.to_string(), EXIT_UNANSWERED),
            Err(error) => (error.to_string(), wrong),
        };
        complain(self, &failed.0);
        ExitCode::from(failed.1)
    }
}

/// Prints the settings in force, one `key = "value"  # origin` a line; those that nobody set stand as comments.
///
/// # Errors
/// When stdout cannot be written.
fn show(effective: &Effective) -> io::Result<()> {
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
    use crate::config::Heard;

    const DAEMON: Daemon = Daemon {
        name: "d",
        version: "1",
        about: "a daemon",
        examples: "  d run",
        settings: &[Setting::known_as("A_B", "a.b_c", "text"), Setting::new("plain", "text")],
        foreign: &[Foreign { name: "OLD", hear: hear_old }],
        verbs: &[Verb { command: || Command::new("look").arg(Arg::new("at")), run: |_| ExitCode::SUCCESS }],
    };

    fn hear_old(value: &str) -> Heard {
        match value {
            "same" => Heard::Agreed,
            "plain" => Heard::Means { key: "plain", value: "from old" },
            "extra" => Heard::PassedOver("there is no extra"),
            _ => Heard::Refused("that cannot be"),
        }
    }

    fn invoke(args: &[&str], environment: impl Fn(&str) -> Option<String>) -> Invocation {
        DAEMON.invocation(&DAEMON.command().try_get_matches_from([&["d"], args].concat()).unwrap(), environment)
    }

    fn read(args: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
        let look_up =
            |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let layers = match invoke(&[&["run"], args].concat(), look_up) {
            Invocation::Run(layers) => layers,
            other => panic!("{other:?}"),
        };
        let mut reader = Reader::new(layers);
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
    fn a_foreign_name_is_heard_before_flags_and_never_passed_over_in_silence() {
        let heard = |args: &[&str], value: &str| {
            let layers = match invoke(args, |name| (name == "OLD").then(|| value.to_owned())) {
                Invocation::Run(layers) => layers,
                other => panic!("{other:?}"),
            };
            let mut reader = Reader::new(layers);
            let plain = reader.optional::<String>("plain");
            let ended = reader.finish(Some(()));
            let told = match ended {
                Ok(((), effective)) => effective.remarks.iter().map(ToString::to_string).collect::<Vec<_>>(),
                Err(error) => vec![error.to_string()],
            };
            (plain.unwrap_or_default(), told.join(""))
        };
        let told = |plain: &str, told: &str| (plain.to_owned(), told.to_owned());
        assert_eq!(heard(&["run"], ""), told("", ""));
        assert_eq!(heard(&["run"], "same"), told("", ""));
        assert_eq!(heard(&["run"], "plain"), told("from old", ""));
        assert_eq!(heard(&["run", "--plain", "flag"], "plain"), told("flag", ""));
        assert_eq!(heard(&["run"], "extra"), told("", "environment OLD: `extra`: there is no extra"));
        let refused = "configuration has 1 problem(s)\n  environment OLD: `else`: that cannot be";
        assert_eq!(heard(&["run"], "else"), told("", refused));
    }

    #[test]
    fn a_daemon_without_a_verb_is_told_how_to_run() {
        assert!(DAEMON.command().try_get_matches_from(["d"]).is_err());
        assert!(DAEMON.command().try_get_matches_from(["d", "run", "--unknown", "x"]).is_err());
    }

    #[test]
    fn settings_are_checked_by_a_flag_or_a_verb_and_a_verb_of_the_daemon_gets_its_own_words() {
        let status = |args: &[&str]| match invoke(args, |_| None) {
            Invocation::CheckConfig { wrong, .. } => wrong,
            other => panic!("{other:?}"),
        };
        assert_eq!(status(&["run", "--check-config", "--plain", "p"]), EXIT_CONFIG);
        assert_eq!(status(&["check-config", "--plain", "p"]), EXIT_NO);
        match invoke(&["look", "there"], |_| None) {
            Invocation::Verb(_, matches) => assert_eq!(matches.get_one::<String>("at").unwrap(), "there"),
            other => panic!("{other:?}"),
        }
    }
}

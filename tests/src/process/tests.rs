//! Real processes: what they say, how they end, what becomes of them.

use std::process::Command;
use std::time::Duration;

use super::Process;

const PATIENCE: Duration = Duration::from_secs(10);

fn shell(script: &str) -> Process {
    Process::start("shell", Command::new("sh").args(["-c", script]))
}

fn is_alive(pid: u32) -> bool {
    Command::new("sh").args(["-c", &format!("kill -0 {pid} 2>&1")]).output().unwrap().status.success()
}

#[test]
fn words_on_stdout_and_stderr_are_both_heard() {
    let process = shell("echo out; echo err >&2; sleep 60");

    assert_eq!(process.wait_for_line("out", PATIENCE), "out");
    assert_eq!(process.wait_for_line("err", PATIENCE), "err");
    assert_eq!(process.lines().len(), 2);
    assert_eq!(process.lines_with("er"), ["err"]);
}

#[test]
fn words_that_are_not_utf8_are_heard_too() {
    let process = shell(r"printf 'a\377b\n'");

    assert_eq!(process.wait_for_line("a", PATIENCE), "a\u{fffd}b");
}

#[test]
#[should_panic(expected = "`shell` did not say `ready`: it closed its output")]
fn a_process_that_ended_is_not_waited_for() {
    shell("echo goodbye").wait_for_line("ready", PATIENCE);
}

#[test]
#[should_panic(expected = "`shell` did not say `ready`: waited 10ms")]
fn silence_has_an_end() {
    shell("sleep 60").wait_for_line("ready", Duration::from_millis(10));
}

#[test]
fn a_process_that_is_asked_to_end_may_say_how() {
    let mut process = shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done");
    process.wait_for_line("ready", PATIENCE);
    assert_eq!(process.exit_status(), None);

    assert_eq!(process.terminate().code(), Some(7));
}

#[test]
fn a_killed_process_has_no_say() {
    let mut process = shell("trap '' TERM; exec sleep 60");

    assert_eq!(process.kill().code(), None);
    assert_eq!(process.terminate().code(), None);
}

#[test]
fn a_process_goes_with_its_value() {
    let process = shell("exec sleep 60");
    let pid = process.pid();
    assert!(is_alive(pid));

    drop(process);

    assert!(!is_alive(pid));
}

#[test]
#[should_panic(expected = "could not be started")]
fn a_program_that_is_not_there_is_told() {
    Process::start("nothing", &mut Command::new("./no-such-program"));
}

//! `tenure status --watch` on a terminal: it ends when told to and leaves the terminal as it was.

use std::io::Write;
use std::process::{Command, Stdio};

use tenure_lab::Process;

use crate::common::Home;

/// Another screen, and back from it.
const OWN_SCREEN: &str = "\u{1b}[?1049h";
const BACK: &str = "\u{1b}[?1049l";

/// Runs the live view under `script` (util-linux), ends it by `end`, and gives what the terminal showed.
fn watched(home: &Home, end: impl FnOnce(&mut dyn Write)) -> String {
    // The shell survives a Ctrl-C, which goes to all that run on the terminal.
    let shell = format!(
        "trap : INT; stty -a >before; '{}' status --watch; echo \"code=$?\"; stty -a >after",
        env!("CARGO_BIN_EXE_tenure")
    );
    let (reader, mut keys) = std::io::pipe().expect("a pipe");
    let plain = home.command(&[]);
    let mut command = Command::new("script");
    command.env_clear().current_dir(home.path());
    command.envs(
        plain
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    command
        .env("SHELL", "/bin/sh")
        .args(["-qfec", &shell, "/dev/null"]);
    let mut process = Process::spawn_with(&mut command, Stdio::from(reader));
    process.wait_for_line("shop");
    end(&mut keys);
    process.wait();
    let read = |name: &str| {
        let text = std::fs::read_to_string(home.path().join(name)).expect(name);
        assert!(text.contains("icanon"), "{text}");
        text
    };
    assert_eq!(read("before"), read("after"), "the terminal is as it was");
    process.stdout()
}

fn check(shown: &str) {
    assert!(shown.contains("code=0"), "{shown:?}");
    let (before, view) = shown.split_once(OWN_SCREEN).expect("a screen of its own");
    let (view, after) = view.split_once(BACK).expect("and back");
    assert!(before.is_empty(), "{before:?}");
    assert!(view.contains("q or Ctrl-C"), "{view:?}");
    assert!(after.trim_start().starts_with("code=0"), "{after:?}");
}

#[test]
fn q_ends_the_live_view() {
    let home = Home::new();
    check(&watched(&home, |keys| {
        // Other keys do nothing.
        keys.write_all(b"xQ\rq").expect("typed");
    }));
}

#[test]
fn ctrl_c_ends_the_live_view() {
    let home = Home::new();
    check(&watched(&home, |keys| {
        keys.write_all(b"\x03").expect("typed");
    }));
}

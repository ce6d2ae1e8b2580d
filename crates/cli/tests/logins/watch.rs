//! Commands on a terminal: they end when told to and leave the terminal as it was.

use std::io::Write;
use std::process::{Command, Stdio};

use tenure_lab::Process;

use crate::common::{Home, wait_for};

/// Another screen, and back from it.
const OWN_SCREEN: &str = "\u{1b}[?1049h";
const BACK: &str = "\u{1b}[?1049l";

/// Runs the live view, ends it by `end`, and gives what the terminal showed.
fn watched(home: &Home, end: impl FnOnce(&mut dyn Write)) -> String {
    on_terminal(home, "status --watch", "shop", end)
}

/// The same with any command, under `script` (util-linux), ended once the terminal shows `ready`.
fn on_terminal(home: &Home, args: &str, ready: &str, end: impl FnOnce(&mut dyn Write)) -> String {
    // The shell survives a Ctrl-C, which goes to all that run on the terminal.
    let shell = format!(
        "trap : INT; stty -a >before; sh -c 'echo $$ >pid; exec \"$0\" {args}' '{}'; echo \"code=$?\"; stty -a >after",
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
    wait_for("the terminal to show it", || {
        process.stdout().contains(ready).then_some(())
    });
    end(&mut keys);
    process.wait();
    let read = |name: &str| {
        let text = std::fs::read_to_string(home.path().join(name)).expect(name);
        // Each word of it set, none taken back with a hyphen: what is typed is seen.
        for mode in ["icanon", "echo"] {
            assert!(
                text.split([' ', '\n', ';']).any(|word| word == mode),
                "{text}"
            );
        }
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

#[test]
fn ctrl_c_at_a_password_leaves_the_terminal_as_it_was() {
    let home = Home::new();
    let shown = on_terminal(
        &home,
        "login shop --password --username demo",
        "Password:",
        |keys| keys.write_all(b"\x03").expect("typed"),
    );
    assert!(shown.contains("code=130"), "{shown:?}");
}

#[test]
fn a_signal_at_a_password_leaves_the_terminal_as_it_was() {
    // The end of the terminal (SIGHUP) ends it as `kill` does.
    for (signal, code) in [("TERM", 143), ("HUP", 129), ("INT", 130)] {
        let home = Home::new();
        let shown = on_terminal(
            &home,
            "login shop --password --username demo",
            "Password:",
            |_| {
                let pid = std::fs::read_to_string(home.path().join("pid")).expect("a process");
                let sent = Command::new("kill")
                    .args([&format!("-{signal}"), pid.trim()])
                    .status();
                assert!(sent.expect("kill").success());
            },
        );
        assert!(shown.contains(&format!("code={code}")), "{shown:?}");
    }
}

//! Child processes: the built binary, its output, and signals.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::{PATIENCE, temp_dir};

/// The `tenure` binary of the target directory the running test is in. Builds nothing: panics, saying what to
/// build, if it is not there.
pub fn tenure_bin() -> PathBuf {
    built("tenure", "cargo build -p tenure-cli")
}

/// A binary of the target directory the running test is in.
fn built(name: &str, how: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the running test knows its own path");
    // target/<profile>/deps/<test> or target/<profile>/examples/<test>
    let profile = test.ancestors().find(|dir| {
        !matches!(
            dir.file_name().and_then(OsStr::to_str),
            Some("deps" | "examples")
        ) && dir.is_dir()
    });
    let binary = profile.map(|dir| dir.join(name)).unwrap_or_default();
    assert!(
        binary.is_file(),
        "{} is not built; run `{how}` first",
        binary.display()
    );
    binary
}

/// A running child. Its output goes to files, so that it never blocks on a full pipe. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    output: tempfile::TempDir,
}

impl Process {
    /// Starts `command`; stdout and stderr are captured, stdin is empty.
    pub fn spawn(command: &mut Command) -> Process {
        Process::spawn_with(command, Stdio::null())
    }

    /// Starts `command` with this stdin.
    pub fn spawn_with(command: &mut Command, stdin: Stdio) -> Process {
        let output = temp_dir();
        let file = |name: &str| {
            File::create(output.path().join(name)).expect("the temporary directory is writable")
        };
        command
            .stdin(stdin)
            .stdout(file("stdout"))
            .stderr(file("stderr"));
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Process { child, output }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to stdout so far.
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// What it wrote to stderr so far.
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// The files behind [`stdout`](Process::stdout) and [`stderr`](Process::stderr).
    pub fn output_dir(&self) -> &Path {
        self.output.path()
    }

    fn read(&self, name: &str) -> String {
        let bytes =
            std::fs::read(self.output.path().join(name)).expect("the file of the output is there");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits, blocking, for a whole line with `text` on stdout or stderr and returns it. Panics with all
    /// output when the process ends before, or after [`PATIENCE`].
    pub fn wait_for_line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Asked before reading, so that the last lines of an ended process are seen.
            let ended = self.try_status();
            let all = [self.stdout(), self.stderr()];
            let whole_lines = all
                .iter()
                .flat_map(|output| output.split_inclusive('\n'))
                .filter(|line| line.ends_with('\n'));
            if let Some(line) = whole_lines.into_iter().find(|line| line.contains(text)) {
                return line.trim_end().to_owned();
            }
            let fate = ended.map(|status| format!("the process ended with {status}"));
            assert!(
                fate.is_none() && Instant::now() < deadline,
                "no line with {text:?}; {}\n{}",
                fate.unwrap_or_default(),
                all.concat()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// How it ended, if it has.
    pub fn try_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits, blocking, for its end. Panics after [`PATIENCE`].
    pub fn wait(&mut self) -> ExitStatus {
        self.wait_within(PATIENCE)
    }

    /// Waits, blocking, for its end, at most so long. Panics with all output then.
    pub fn wait_within(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.try_status() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "still running after {patience:?}\n{}{}",
                self.stdout(),
                self.stderr()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL, and waits for the end.
    pub fn kill9(&mut self) -> ExitStatus {
        self.signal(Signal::KILL);
        self.wait()
    }

    /// SIGINT, as Ctrl-C sends it.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGSTOP: the process stands still.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT: it goes on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends a signal. Nothing happens if the process has ended but has not been waited for.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal)
            .expect("a child that was not waited for takes signals");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended and waited for: then there is nothing to kill.
        if let Ok(None) = self.child.try_wait() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        Process::spawn(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn captures_output_and_waits_for_lines() {
        let mut process = shell("echo ready at 7; echo oops >&2; exit 3");
        assert_eq!(process.wait_for_line("ready"), "ready at 7");
        assert_eq!(process.wait_for_line("oops"), "oops");
        assert_eq!(process.wait().code(), Some(3));
    }

    #[test]
    fn freezes_thaws_terminates_and_kills() {
        // Not INT: a shell whose parent ignores it, as one in the background does, cannot catch it.
        let mut process =
            shell("trap 'echo caught; exit 0' TERM; echo up; while :; do sleep 0.01; done");
        process.wait_for_line("up");
        process.freeze();
        process.terminate();
        assert!(process.try_status().is_none());
        process.thaw();
        process.wait_for_line("caught");
        assert_eq!(process.wait().code(), Some(0));
        let mut endless = shell("echo up; while :; do sleep 0.01; done");
        endless.wait_for_line("up");
        assert!(!endless.kill9().success());
    }

    #[test]
    #[should_panic(expected = "cargo build -p nothing")]
    fn says_what_to_build() {
        built("no-such-binary", "cargo build -p nothing");
    }
}

//! Running a helper program for a key, with a limit on its time and its output.

use std::io::{self, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

/// Nothing that holds a key is longer, in bytes.
const OUTPUT_MAX: u64 = 4096;

/// What a helper said.
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Zeroizing<Vec<u8>>,
    pub(crate) stderr: String,
}

/// Runs a program with its arguments; kills it when it takes longer than `limit`.
pub(crate) fn run(argv: &[String], input: &[u8], limit: Duration) -> io::Result<Output> {
    let (program, args) = argv
        .split_first()
        .ok_or_else(|| io::Error::other("the command is empty"))?;
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(input) {
            // A helper need not read what it is given.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{program} did not end within {} s", limit.as_secs()),
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Ok(Output {
        status,
        stdout: Zeroizing::new(joined(stdout)?),
        stderr: String::from_utf8_lossy(&joined(stderr)?).trim().to_owned(),
    })
}

type Reading = Option<JoinHandle<io::Result<Vec<u8>>>>;

/// Reads in a thread of its own, so that a helper never waits for us.
fn reader<R: Read + Send + 'static>(pipe: Option<R>) -> Reading {
    pipe.map(|pipe| {
        std::thread::spawn(move || {
            let mut bytes = Vec::with_capacity(OUTPUT_MAX as usize);
            pipe.take(OUTPUT_MAX).read_to_end(&mut bytes)?;
            Ok(bytes)
        })
    })
}

fn joined(reading: Reading) -> io::Result<Vec<u8>> {
    reading.map_or(Ok(Vec::new()), |thread| {
        thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("reading the helper's output failed")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, input: &[u8], limit: Duration) -> io::Result<Output> {
        run(&["sh", "-c", script].map(str::to_owned), input, limit)
    }

    #[test]
    fn what_a_helper_says_is_taken() {
        let said = sh("cat; echo oops >&2; exit 3", b"in", Duration::from_secs(20)).expect("runs");
        assert_eq!(
            (&said.stdout[..], said.stderr.as_str()),
            (&b"in"[..], "oops")
        );
        assert_eq!(said.status.code(), Some(3));
    }

    #[test]
    fn a_helper_that_hangs_is_ended() {
        let error = sh("exec sleep 600", b"", Duration::from_millis(20))
            .err()
            .expect("is ended");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}

//! A line on stderr that says something is under way; only on a terminal, and only when it takes a while.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

const FRAMES: [char; 4] = ['|', '/', '-', '\\'];
/// Quicker than this nobody needs to be told.
const PATIENCE: Duration = Duration::from_millis(300);

/// From here on it may be said in a log, too.
const LONG: Duration = Duration::from_secs(1);

/// Awaits `work`, showing `what` on stderr meanwhile.
pub async fn during<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    if !io::stderr().is_terminal() {
        return work.await;
    }
    if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
        return done;
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(120));
    let mut frame = 0;
    loop {
        tokio::select! {
            done = &mut work => {
                draw("\r\u{1b}[K");
                return done;
            }
            _ = ticks.tick() => {
                draw(&format!("\r\u{1b}[K{} {what}", FRAMES[frame % FRAMES.len()]));
                frame += 1;
            }
        }
    }
}

/// The same for what may take long, where nobody sees a terminal: one line, once it does.
pub async fn told<T>(what: &str, work: impl Future<Output = T>) -> T {
    if io::stderr().is_terminal() {
        return during(what, work).await;
    }
    tokio::pin!(work);
    if let Ok(done) = tokio::time::timeout(LONG, &mut work).await {
        return done;
    }
    draw(&format!("{what} …\n"));
    work.await
}

/// A progress line that cannot be drawn is no reason to stop.
fn draw(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes());
    let _ = err.flush();
}

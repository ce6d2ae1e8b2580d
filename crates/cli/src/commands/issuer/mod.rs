//! `tenure issuer serve|users|clients|sessions|keys|audit|lifetimes|registration|administrators`.

mod administrators;
pub mod audit;
mod clients;
mod drill;
pub mod key;
mod keys;
mod lifetimes;
mod registration;
mod serve;
mod sessions;
mod users;
mod which;
mod who;

use crate::app::App;
use crate::args::issuer::Issuer;
use crate::error::Outcome;

/// Runs one of them.
pub async fn run(app: &App, command: &Issuer) -> Outcome {
    match command {
        Issuer::Serve(args) => serve::run(app, args).await,
        Issuer::Users(command) => users::run(app, command).await,
        Issuer::Clients(command) => clients::run(app, command).await,
        Issuer::Sessions(command) => sessions::run(app, command).await,
        Issuer::Keys(command) => keys::run(app, command).await,
        Issuer::Audit(command) => audit::run(app, command).await,
        Issuer::Lifetimes(command) => lifetimes::run(app, command).await,
        Issuer::Registration(command) => registration::run(app, command).await,
        Issuer::Administrators(command) => administrators::run(app, command).await,
    }
}

/// `1 session`, `3 sessions`.
fn sessions_ended(count: usize) -> String {
    match count {
        0 => "no session was alive".to_owned(),
        1 => "1 session ended".to_owned(),
        more => format!("{more} sessions ended"),
    }
}

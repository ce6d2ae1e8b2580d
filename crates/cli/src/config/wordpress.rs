//! `[issuer.wordpress]`: the WordPress plugin whose dialect the issuer speaks beside OAuth 2.0.

use std::time::Duration;

use tenure_issuer::{WordPress, WordpressPlugin};

use super::reader::Table;
use super::value::{self, Wrong};

/// The longest life of an access token: the plugins' own is a week at most.
const LONGEST: Duration = Duration::from_hours(30 * 24);

/// Reads `[issuer.wordpress]`; `None` where there is none, or what is wrong with it was noted.
pub fn read(issuer: &Table<'_>) -> Option<WordPress> {
    let table = issuer.table("wordpress")?;
    let plugin = table.parsed("plugin", plugin);
    let codes = table.parsed("codes", codes);
    let access_ttl = table.parsed("access_ttl", lifetime);
    if !table.has_any(&["plugin"]) {
        table.wrong(
            "`issuer.wordpress.plugin` is missing",
            "add plugin = \"tmeister\", \"usefulteam\" or \"wcpos\": the one your clients know",
        );
    }
    table.finish(|_| None);
    let mut speaks = WordPress::new(plugin?.value);
    speaks.distinct_codes = codes.is_some_and(|codes| codes.value);
    if let Some(ttl) = access_ttl {
        speaks.access_ttl_s = ttl.value.as_secs();
    }
    Some(speaks)
}

fn plugin(text: &str) -> Result<WordpressPlugin, Wrong> {
    match text {
        "tmeister" => Ok(WordpressPlugin::Tmeister),
        "usefulteam" => Ok(WordpressPlugin::Usefulteam),
        "wcpos" => Ok(WordpressPlugin::Wcpos),
        _ => Err(Wrong::new(
            format!("{text:?} is no plugin whose dialect is spoken here"),
            "write \"tmeister\" (JWT Authentication for WP REST API), \"usefulteam\" (JWT Auth) or \"wcpos\"",
        )),
    }
}

/// Whether they are distinct.
fn codes(text: &str) -> Result<bool, Wrong> {
    match text {
        "plugin" => Ok(false),
        "distinct" => Ok(true),
        _ => Err(Wrong::new(
            format!("{text:?} are no codes"),
            "write \"plugin\" for those that the plugin has, or \"distinct\" for one that says why",
        )),
    }
}

/// Tokens tell time in seconds.
fn lifetime(text: &str) -> Result<Duration, Wrong> {
    let life = value::positive_duration(text)?;
    if life.subsec_millis() == 0 && life <= LONGEST {
        return Ok(life);
    }
    Err(Wrong::new(
        format!("{text:?} cannot be the lifetime of an access token"),
        "write whole seconds, at most thirty days, for example \"10m\"",
    ))
}

//! What an administrator sees, as programs read it: the same in the admin API and in the command's `--json`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::administrators::AdministratorInfo;
use crate::audit::{AuditEntry, Head};
use crate::client::{ClientRegistration, Grant};
use crate::clients::ClientInfo;
use crate::keys::KeyInfo;
use crate::lifetimes::Lifetimes;
use crate::sessions::Session;
use crate::users::UserInfo;

/// The short word for a grant.
pub fn grant(grant: Grant) -> &'static str {
    match grant {
        Grant::AuthorizationCode => "code",
        Grant::RefreshToken => "refresh",
        Grant::ClientCredentials => "client-credentials",
        Grant::DeviceCode => "device",
        Grant::Password => "password",
    }
}

/// The short words for what a client may ask for.
pub fn grants(client: &ClientRegistration) -> Vec<&'static str> {
    client.grants.iter().copied().map(grant).collect()
}

/// How a client proves who it is: `secret`, `keys` or `public`.
pub fn proof(info: &ClientInfo) -> &'static str {
    match (info.has_secret, info.registration.keys.is_some()) {
        (true, _) => "secret",
        (false, true) => "keys",
        (false, false) => "public",
    }
}

/// An account.
pub fn user(user: &UserInfo) -> Value {
    json!({ "name": user.name, "disabled": user.disabled, "created_at": user.created_ms / 1000 })
}

/// A client.
pub fn client(info: &ClientInfo) -> Value {
    let client = &info.registration;
    json!({
        "id": client.id,
        "name": client.name,
        "proof": proof(info),
        "grants": grants(client),
        "scopes": client.scopes,
        "redirect_uris": client.redirect_uris,
        "logout_uris": client.post_logout_redirect_uris,
        "backchannel_logout_uri": client.backchannel_logout_uri,
        "backchannel_logout_session_required": client.backchannel_logout_session_required,
        "dpop": client.dpop_bound,
        "par": client.par_required,
        "rotate": client.rotate,
    })
}

/// A session.
pub fn session(session: &Session) -> Value {
    let (info, family) = (&session.info, &session.info.family);
    json!({
        "sid": info.sid,
        "user": info.user,
        "client": info.client_id,
        "scope": info.scope,
        "generation": family.generation,
        "began_at": family.born_ms / 1000,
        "used_at": family.used_ms / 1000,
        "ends_at": session.ends_ms.map(|end| end / 1000),
        "ended_at": info.ended_ms.map(|end| end / 1000),
        "address": info.address,
        "device": info.device,
        "last_address": info.last_address,
        "state": session.state.word(),
        "reason": session.state.reason(),
    })
}

/// A signing key.
pub fn key(key: &KeyInfo) -> Value {
    json!({
        "kid": key.kid,
        "alg": key.alg.as_str(),
        "state": key.state.as_str(),
        "created_at": key.created_ms / 1000,
        "changed_at": key.changed_ms / 1000,
    })
}

/// An entry of the audit log.
pub fn entry(entry: &AuditEntry) -> Value {
    json!({
        "seq": entry.seq,
        "at_ms": entry.at_ms,
        "by": entry.who.by,
        "address": entry.who.address,
        "device": entry.who.device,
        "action": entry.action,
        "user": entry.user,
        "user_id": entry.user_id,
        "sid": entry.sid,
        "client": entry.client,
        "detail": entry.detail,
        "mac": hex(&entry.mac),
    })
}

/// The end of the audit log, as it is noted elsewhere: `SEQ:MAC`.
pub fn head(head: &Head) -> String {
    format!("{}:{}", head.seq, hex(&head.mac))
}

/// The lifetimes in force, in seconds (`null`: no end), and which of them an administrator decided.
pub fn lifetimes(lifetimes: &Lifetimes) -> Value {
    let decided = &lifetimes.decided;
    let names = [
        ("access", decided.access_s.is_some()),
        ("idle", decided.idle.is_some()),
        ("session", decided.session.is_some()),
        ("window", decided.window_s.is_some()),
    ];
    let decided: Vec<_> = names
        .into_iter()
        .filter_map(|(name, set)| set.then_some(name))
        .collect();
    json!({
        "access": lifetimes.access_s,
        "idle": lifetimes.idle_s,
        "session": lifetimes.session_s,
        "window": lifetimes.window_s,
        "decided": decided,
    })
}

/// An administrator.
pub fn administrator(info: &AdministratorInfo) -> Value {
    json!({
        "name": info.name,
        "created_at": info.created_ms / 1000,
        "one_time_secret_until": info.one_time_ms.map(|ms| ms / 1000),
        "tokens": info.tokens,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

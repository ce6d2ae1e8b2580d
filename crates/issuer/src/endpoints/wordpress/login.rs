//! Logging in with a name and a password, and what is told of a user.

use tenure_core::family::Family;

use super::Asked;
use super::reply::Denied;
use crate::error::OAuthError;
use crate::families::Login;
use crate::issuer::Issuer;
use crate::wordpress::user_number;

/// What answers say about a user. An account here is a name; where that is an address for mail, it is one.
pub(super) struct User {
    pub(super) number: u64,
    pub(super) name: String,
    /// The name as it could stand in an address: WordPress's "nicename".
    pub(super) slug: String,
    pub(super) email: String,
}

impl User {
    fn new(user_id: &str, name: String) -> Self {
        let email = if name.contains('@') {
            name.clone()
        } else {
            String::new()
        };
        Self {
            number: user_number(user_id),
            slug: slug(&name),
            email,
            name,
        }
    }
}

fn slug(name: &str) -> String {
    let plain: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_alphanumeric() { c } else { '-' })
        .collect();
    plain
        .split('-')
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("-")
}

/// Of a user whose account lives.
pub(super) async fn profile(issuer: &Issuer, user_id: &str) -> Result<Option<User>, OAuthError> {
    let name = issuer.user_name(user_id).await?;
    Ok(name.map(|name| User::new(user_id, name)))
}

/// A user who logged in, with the session that began.
pub(super) struct LoggedIn {
    pub(super) user: User,
    pub(super) login: Login,
    pub(super) family: Family,
}

/// Checks `username` and `password` and begins a session.
pub(super) async fn log_in(asked: &Asked) -> Result<LoggedIn, Denied> {
    let name = asked.rest.param("username").filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Denied::empty("username"))?;
    let password = asked.rest.param("password").filter(|word| !word.is_empty());
    let password = password.ok_or_else(|| Denied::empty("password"))?;
    let issuer = &asked.issuer;
    let who = issuer
        .log_in(
            name.expose(),
            &password,
            asked.speaks.client_id(),
            &asked.peer,
        )
        .await?;
    let user = profile(issuer, &who.user_id).await?;
    // Disabled between the two looks.
    let user = user.ok_or_else(OAuthError::account_disabled)?;
    let (login, family) = issuer
        .begin_wordpress(&asked.speaks, who.user_id, &asked.peer)
        .await?;
    Ok(LoggedIn {
        user,
        login,
        family,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_slugs() {
        for (name, slug_) in [
            ("Ada Lovelace", "ada-lovelace"),
            ("ada@shop.example", "ada-shop-example"),
            ("-x-", "x"),
        ] {
            assert_eq!(slug(name), slug_);
        }
        assert_eq!(User::new("1", "ada".into()).email, "");
        assert_eq!(User::new("1", "a@b.example".into()).email, "a@b.example");
    }
}

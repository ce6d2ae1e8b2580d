//! The dialects of the WordPress plugins. What they say and do is in their own words in each file.

pub(crate) mod simple_jwt_login;
pub(crate) mod tmeister;
pub(crate) mod usefulteam;
pub(crate) mod wcpos;

use url::Url;

use crate::server::Server;

/// Where a username and password go.
fn login_url(server: &Server) -> &Url {
    server
        .login_endpoint
        .as_ref()
        .unwrap_or(&server.token_endpoint)
}

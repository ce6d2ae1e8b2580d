//! Stand-ins of WordPress sites with a token plugin each, faithful on the wire: routes, statuses, bodies,
//! cookies, and the order in which tokens are judged.
//!
//! Each site has the users `admin`/`secret` (administrator), `cashier`/`secret` (may use the point of sale)
//! and `customer`/`secret` (no rights), the REST index at `/wp-json/`, the protected route
//! `/wp-json/wc/v3/orders` and the public `/wp-json/wp/v2/posts`. `?rest_route=` works as well.

mod request;
mod simple_jwt_login;
mod site;
mod tmeister;
mod usefulteam;
mod wcpos;

pub use simple_jwt_login::SimpleJwtLogin;
pub use site::{Role, Site, User};
pub use tmeister::Tmeister;
pub use usefulteam::Usefulteam;
pub use wcpos::Wcpos;

//! What all WordPress stand-ins share: users, the clock, the REST index, the shop's routes.

use std::collections::HashSet;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{Method, Request, Uri};
use serde_json::{Value, json};

use super::request::{Rest, no_route, rest_json, wp_error};
use crate::clock::Clock;
use crate::jwt::{self, Bad};
use crate::record::lock;
use crate::reply::{self, Reply};
use crate::server::{App, Server};

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Administrator,
    /// Orders, and the point of sale.
    Cashier,
    /// Nothing.
    Customer,
}

/// A user of the site. Logs in by login or e-mail address.
#[derive(Clone, Debug)]
pub struct User {
    /// WordPress user id.
    pub id: u64,
    /// User name.
    pub login: String,
    /// E-mail address.
    pub email: String,
    /// Password.
    pub password: String,
    /// Rights.
    pub role: Role,
    /// Changes with the password.
    pub(crate) pass: String,
}

/// The plugin of a site. Its own state is behind its own lock.
pub(crate) trait Plugin: Debug + Send + Sync {
    fn namespaces(&self) -> &'static [&'static str];
    /// The routes below its namespaces, each with its methods; the plugins declare no arguments.
    fn routes(&self) -> Vec<(&'static str, &'static [&'static str])>;
    /// Adds to the REST index.
    fn index(&self, _core: &Core, _index: &mut Value) {}
    /// Runs before every REST route: who asks, or the answer that ends it.
    fn before(&self, core: &mut Core, rest: &Rest) -> Result<Option<u64>, Reply>;
    /// The plugin's own routes; `user` is who asks.
    fn route(&self, core: &mut Core, rest: &Rest, user: Option<u64>) -> Option<Reply>;
    /// Pages outside the REST API.
    fn page(&self, _core: &mut Core, _rest: &Rest) -> Option<Reply> {
        None
    }
}

/// The site's own state.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) clock: Arc<Clock>,
    /// What `get_bloginfo('url')` gives; compared with `iss`.
    pub(crate) url: String,
    pub(crate) users: Vec<User>,
    pub(crate) secret: String,
    pub(crate) access_ttl_s: i64,
    pub(crate) refresh_ttl_s: i64,
    issued: Vec<String>,
    expired: HashSet<String>,
    pub(crate) orders: Vec<Value>,
    routes_hidden: bool,
    plugin_off: bool,
}

/// A running site. Its token routes obey [`Server::faults`], all others [`Server::api_faults`].
#[derive(Debug)]
pub struct Site {
    server: Server,
    core: Arc<Mutex<Core>>,
}

impl Site {
    pub(crate) fn start(
        bind: SocketAddr,
        ttl_s: (i64, i64),
        is_token: fn(&Uri) -> bool,
        plugin: Arc<dyn Plugin>,
    ) -> Site {
        let clock = Arc::new(Clock::default());
        let core = Arc::new(Mutex::new(Core::new(Arc::clone(&clock), ttl_s)));
        let app: Arc<App> = {
            let core = Arc::clone(&core);
            Arc::new(move |request: Request<Body>| {
                let (core, plugin) = (Arc::clone(&core), Arc::clone(&plugin));
                Box::pin(async move {
                    let rest = Rest::read(request).await;
                    answer(&mut lock(&core), &*plugin, &rest)
                })
            })
        };
        let server = Server::start(bind, clock, is_token, app);
        lock(&core).url = server.url();
        Site { server, core }
    }

    pub(crate) fn core<T>(&self, look: impl FnOnce(&mut Core) -> T) -> T {
        look(&mut lock(&self.core))
    }

    /// The REST root, `…/wp-json`.
    pub fn rest_url(&self) -> String {
        self.url_of("/wp-json")
    }

    /// Lets `seconds` pass at the site.
    pub fn advance(&self, seconds: i64) {
        self.clock().advance(seconds);
    }

    /// Ends all access tokens given so far ("Expired token"), without moving the clock.
    pub fn expire_access_now(&self) {
        self.core(|core| core.expired.extend(core.issued.iter().cloned()));
    }

    /// Lifetime of access tokens given from now on, in seconds.
    pub fn set_access_ttl(&self, seconds: i64) {
        self.core(|core| core.access_ttl_s = seconds);
    }

    /// Lifetime of refresh tokens given from now on, in seconds.
    pub fn set_refresh_ttl(&self, seconds: i64) {
        self.core(|core| core.refresh_ttl_s = seconds);
    }

    /// Replaces the key that signs access tokens: "Signature verification failed" for all given so far.
    pub fn change_secret(&self) {
        self.core(|core| core.secret = jwt::random_hex(32));
    }

    /// Takes over the signing key of another site, as a copy of it (staging, a restored backup) has it.
    pub fn share_secret_of(&self, other: &Site) {
        let secret = other.core(|core| core.secret.clone());
        self.core(|core| core.secret = secret);
    }

    /// Moves the site to another URL: tokens given so far have the wrong `iss`.
    pub fn move_to(&self, url: &str) {
        self.core(|core| url.clone_into(&mut core.url));
    }

    /// Deletes a user. Panics if there is none of that login.
    pub fn delete_user(&self, login: &str) {
        self.core(|core| {
            let at = core.users.iter().position(|user| user.login == login);
            core.users
                .remove(at.unwrap_or_else(|| panic!("no user {login}")));
        });
    }

    /// Changes a password. Panics if there is no such user.
    pub fn change_password(&self, login: &str, password: &str) {
        self.core(|core| {
            let user = core.users.iter_mut().find(|user| user.login == login);
            let user = user.unwrap_or_else(|| panic!("no user {login}"));
            password.clone_into(&mut user.password);
            user.pass = jwt::random_hex(5);
        });
    }

    /// Leaves the routes out of the REST index, as some sites do.
    pub fn hide_routes(&self) {
        self.core(|core| core.routes_hidden = true);
    }

    /// Deactivates the plugin: its routes and its namespace are gone, and nobody judges tokens.
    pub fn deactivate_plugin(&self) {
        self.core(|core| core.plugin_off = true);
    }

    /// The bodies of the orders accepted, in order.
    pub fn orders_posted(&self) -> Vec<Value> {
        self.core(|core| core.orders.clone())
    }
}

impl std::ops::Deref for Site {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Core {
    fn new(clock: Arc<Clock>, (access_ttl_s, refresh_ttl_s): (i64, i64)) -> Core {
        let user = |id, login: &str, role| User {
            id,
            login: login.to_owned(),
            email: format!("{login}@shop.example"),
            password: "secret".to_owned(),
            role,
            pass: jwt::random_hex(5),
        };
        Core {
            clock,
            url: String::new(),
            users: vec![
                user(1, "admin", Role::Administrator),
                user(2, "cashier", Role::Cashier),
                user(3, "customer", Role::Customer),
            ],
            secret: jwt::random_hex(32),
            access_ttl_s,
            refresh_ttl_s,
            issued: Vec::new(),
            expired: HashSet::new(),
            orders: Vec::new(),
            routes_hidden: false,
            plugin_off: false,
        }
    }

    pub(crate) fn now_s(&self) -> i64 {
        self.clock.shown_s()
    }

    pub(crate) fn user(&self, id: u64) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    /// Core's `wp_authenticate`: the user, or core's error code and its text with HTML in it.
    pub(crate) fn authenticate(
        &self,
        login: &str,
        password: &str,
    ) -> Result<User, (&'static str, String)> {
        let lost = format!(
            "<a href=\"{}/wp-login.php?action=lostpassword\">Lost your password?</a>",
            self.url
        );
        if login.is_empty() {
            return Err((
                "empty_username",
                "<strong>Error:</strong> The username field is empty.".to_owned(),
            ));
        }
        if password.is_empty() {
            return Err((
                "empty_password",
                "<strong>Error:</strong> The password field is empty.".to_owned(),
            ));
        }
        let Some(user) = self
            .users
            .iter()
            .find(|user| user.login == login || user.email == login)
        else {
            let text = format!(
                "<strong>Error:</strong> The username <strong>{login}</strong> is not registered on this site. If you are unsure of your username, try your email address instead."
            );
            return Err(("invalid_username", text));
        };
        if user.password != password {
            let text = format!(
                "<strong>Error:</strong> The password you entered for the username <strong>{login}</strong> is incorrect. {lost}"
            );
            return Err(("incorrect_password", text));
        }
        Ok(user.clone())
    }

    /// Signs an access token and remembers it for [`Site::expire_access_now`].
    pub(crate) fn sign_access(&mut self, claims: &Value) -> String {
        let token = jwt::sign(&self.secret, claims);
        self.issued.push(token.clone());
        token
    }

    /// Judges an access token as php-jwt does.
    pub(crate) fn judge_access(&self, token: &str, leeway: i64) -> Result<Value, Bad> {
        let claims = jwt::verify(&self.secret, token, self.now_s(), leeway)?;
        if self.expired.contains(token) {
            Err(Bad::Expired)
        } else {
            Ok(claims)
        }
    }

    /// The body of the routes for orders: who may not is told so by core's rule, 401 when anonymous, else 403.
    pub(crate) fn orders(&mut self, rest: &Rest, user: Option<u64>) -> Reply {
        let may = user
            .and_then(|id| self.user(id))
            .is_some_and(|user| user.role != Role::Customer);
        let refusal = if user.is_some() { 403 } else { 401 };
        match (&rest.method, may) {
            (&Method::GET, true) => rest_json(
                200,
                &json!([{ "id": 1, "total": "12.50", "status": "processing" }]),
            ),
            (&Method::GET, false) => wp_error(
                refusal,
                "woocommerce_rest_cannot_view",
                "Sorry, you cannot list resources.",
            ),
            (&Method::POST, true) => {
                let order = rest.order();
                self.orders.push(order.clone());
                rest_json(
                    201,
                    &json!({ "id": self.orders.len() + 1, "received": order }),
                )
            }
            (&Method::POST, false) => {
                let text = "Sorry, you are not allowed to create resources.";
                wp_error(refusal, "woocommerce_rest_cannot_create", text)
            }
            _ => no_route(),
        }
    }
}

/// A site without a token plugin.
#[derive(Debug)]
struct Nothing;

impl Plugin for Nothing {
    fn namespaces(&self) -> &'static [&'static str] {
        &[]
    }

    fn routes(&self) -> Vec<(&'static str, &'static [&'static str])> {
        Vec::new()
    }

    fn before(&self, _core: &mut Core, _rest: &Rest) -> Result<Option<u64>, Reply> {
        Ok(None)
    }

    fn route(&self, _core: &mut Core, _rest: &Rest, _user: Option<u64>) -> Option<Reply> {
        None
    }
}

fn answer(core: &mut Core, plugin: &dyn Plugin, rest: &Rest) -> Reply {
    let plugin = if core.plugin_off { &Nothing } else { plugin };
    let Some(route) = rest.route.clone() else {
        return plugin.page(core, rest).unwrap_or_else(|| page(rest));
    };
    let user = match plugin.before(core, rest) {
        Ok(user) => user,
        Err(reply) => return reply,
    };
    if route == "/" {
        return index(core, plugin);
    }
    plugin
        .route(core, rest, user)
        .unwrap_or_else(|| core_route(core, rest, &route, user))
}

fn core_route(core: &mut Core, rest: &Rest, route: &str, user: Option<u64>) -> Reply {
    match (&rest.method, route) {
        (_, "/wc/v3/orders") => core.orders(rest, user),
        (&Method::GET, "/wp/v2/posts") => rest_json(
            200,
            &json!([{ "id": 7, "title": { "rendered": "Hello world!" } }]),
        ),
        (&Method::GET, "/wp/v2/users/me") => match user.and_then(|id| core.user(id)) {
            Some(user) => rest_json(
                200,
                &json!({ "id": user.id, "name": user.login, "slug": user.login }),
            ),
            None => wp_error(
                401,
                "rest_not_logged_in",
                "You are not currently logged in.",
            ),
        },
        _ => no_route(),
    }
}

fn index(core: &Core, plugin: &dyn Plugin) -> Reply {
    let mut namespaces = vec!["oembed/1.0"];
    namespaces.extend(plugin.namespaces());
    namespaces.extend(["wc/v3", "wp/v2"]);
    let mut index = json!({
        "name": "Lab shop",
        "description": "",
        "url": core.url,
        "home": core.url,
        "gmt_offset": "0",
        "timezone_string": "",
        "namespaces": namespaces,
        "authentication": {},
        "routes": routes(core, plugin),
    });
    if core.routes_hidden {
        index["routes"] = json!([]);
    }
    plugin.index(core, &mut index);
    let reply = rest_json(200, &index);
    reply::with(
        reply,
        "link",
        &format!("<{}/wp-json/>; rel=\"https://api.w.org/\"", core.url),
    )
}

/// The routes as WordPress lists them: those of core and shop, of each namespace, and of the plugin.
fn routes(core: &Core, plugin: &dyn Plugin) -> Value {
    let mut routes = serde_json::Map::new();
    let mut list = |path: &str, namespace: &str, methods: &[&str], args: Value| {
        let about = json!({
            "namespace": namespace,
            "methods": methods,
            "endpoints": [{ "methods": methods, "args": args }],
            "_links": { "self": [{ "href": format!("{}/wp-json{path}", core.url) }] },
        });
        routes.insert(path.to_owned(), about);
    };
    let view = json!({ "context": { "default": "view", "required": false } });
    list("/", "", &["GET"], view.clone());
    for namespace in plugin.namespaces().iter().chain(&["wc/v3", "wp/v2"]) {
        let args = json!({ "namespace": { "default": namespace, "required": false }, "context": view["context"] });
        list(&format!("/{namespace}"), namespace, &["GET"], args);
        for (path, methods) in plugin.routes() {
            if path[1..].starts_with(namespace) {
                list(path, namespace, methods, json!([]));
            }
        }
    }
    list("/wc/v3/orders", "wc/v3", &["GET", "POST"], view.clone());
    list("/wp/v2/posts", "wp/v2", &["GET"], view.clone());
    list("/wp/v2/users/me", "wp/v2", &["GET"], view);
    Value::Object(routes)
}

fn page(rest: &Rest) -> Reply {
    let found = rest.uri.path() == "/";
    let (status, title) = if found {
        (200, "Lab shop")
    } else {
        (404, "Page not found")
    };
    let body =
        format!("<!doctype html><html><head><title>{title}</title></head><body></body></html>");
    reply::reply(status, "text/html; charset=UTF-8", body)
}

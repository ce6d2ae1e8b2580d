//! The issuer in the dialect of a WordPress plugin, kept by a keeper that takes it for the plugin: the same story at the
//! plugin's stand-in and at `tenure issuer serve`.

use serde_json::Value;
use tenure_jose::KeySet;
use tenure_lab::wordpress::{Tmeister, Usefulteam, Wcpos};
use tenure_lab::{Process, free_port};
use tenure_verify::feed::{Options, RevocationFeed};
use tenure_verify::{KeySource, Refusal, Verifier};

use crate::common::{Answer, Home, Up, get, request, wait_for};
use crate::support::{Keeper, log_in, root_code, token};

const ME: &str = "/shop/wp/v2/users/me";

/// A running `tenure issuer serve` with the user `cashier`, whose password is that of the stand-ins.
struct Own {
    home: Home,
    url: String,
    _up: Up,
}

impl Own {
    fn start(wordpress: &str) -> Self {
        let home = Home::new();
        let listen = format!("127.0.0.1:{}", free_port());
        let url = format!("http://{listen}");
        home.write(
            "tenure.toml",
            &format!(
                "[issuer]\nurl = \"{url}\"\nlisten = \"{listen}\"\naudience = \"https://api.example\"\n\
                 [issuer.wordpress]\n{wordpress}\n"
            ),
        );
        home.run_with(&["issuer", "users", "add", "cashier"], "secret\n")
            .ok();
        let up = Up::start_saying(home.command(&["issuer", "serve", "--json"]), "discovery");
        assert_eq!(up.url("wordpress"), format!("{url}/wp-json/"));
        Self { home, url, _up: up }
    }

    fn issuer(&self, args: &[&str]) -> Value {
        self.home
            .run(&[&["issuer", "--json"], args].concat())
            .ok()
            .json()
    }

    fn end_sessions(&self) {
        assert_eq!(
            self.issuer(&["sessions", "revoke", "--all"])["sessions_ended"],
            1
        );
    }
}

/// What `tenure init` makes of the address, written and ready to be kept.
fn found(url: &str, provider: &str) -> Home {
    let home = Home::new();
    let upstream = format!("{url}/wp-json");
    let args = ["init", url, "--name", "shop", "--upstream", &upstream];
    let ran = home.run(&args).ok();
    assert!(!ran.out.contains("guess"), "{ran:?}");
    let text = std::fs::read_to_string(home.path().join("tenure.toml")).unwrap();
    assert!(
        text.contains(&format!("provider = \"{provider}\"")),
        "{text}"
    );
    let timing = "[keeper.timing]\nbackoff_min = \"100ms\"\nbackoff_max = \"1s\"\n";
    home.write("tenure.toml", &format!("{text}\n{timing}"));
    home
}

fn me(up: &Keeper) -> Answer {
    up.get(ME)
}

fn wait_used(up: &Keeper) {
    wait_for("the login to be taken up", || {
        let answer = me(up);
        (answer.status == 200).then(|| assert_eq!(answer.json()["name"], "cashier"))
    });
}

/// Every answer is a good one while the token changes several times.
fn wait_renewed(up: &Keeper, home: &Home) {
    let mut seen = vec![token(home)];
    wait_for("three renewals", || {
        assert_eq!(me(up).status, 200);
        let now = token(home);
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        (seen.len() > 3).then_some(())
    });
}

fn wrong_password_is_named(home: &Home) {
    let wrong = home.run_with(
        &["login", "shop", "--password", "--username", "cashier"],
        "canary-wrong\n",
    );
    assert_eq!(wrong.code, 3, "{wrong:?}");
    assert!(wrong.err.contains("API02001"), "{wrong:?}");
    assert!(!wrong.err.contains("canary"), "{wrong:?}");
}

/// Nothing renews it any more: which code it comes from, and that nobody asks again.
fn ends_with(up: &Keeper, code: &str) {
    let answer = me(up);
    assert!(matches!(answer.status, 401 | 403), "{answer:?}");
    let shop = up.wait_state("needs_login");
    assert_eq!(root_code(&shop["failure"]), code, "{shop}");
    assert_eq!(shop["failure"]["command"], "tenure login shop", "{shop}");
    assert_eq!(me(up).status, 401);
}

/// Each story takes its time; they do not wait for one another.
fn at_once(stories: [&(dyn Fn() + Sync); 3]) {
    std::thread::scope(|scope| {
        for story in stories {
            scope.spawn(story);
        }
    });
}

/// A login, its use, its end with the token, and another login. Tokens live 8 s.
fn tmeister(url: &str) {
    let home = found(url, "wordpress-tmeister");
    wrong_password_is_named(&home);
    let up = Keeper::start(&home);
    let said = log_in(&home, "cashier", &[]).ok().err;
    assert!(said.contains("--remember"), "nothing renews it: {said}");
    wait_used(&up);
    let shop = up.wait_state("needs_login");
    assert_eq!(shop["failure"]["code"], "API02002", "{shop}");
    assert_eq!(shop["failure"]["heal"], "relogin", "{shop}");
    let ran = home.run(&["token", "shop", "--json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    log_in(&home, "cashier", &["--remember"]).ok();
    wait_used(&up);
    wait_renewed(&up, &home);
    up.stop();
}

#[test]
fn tmeister_is_kept_alike_at_plugin_and_issuer() {
    let site = Tmeister::start();
    site.set_access_ttl(8);
    let at_issuer = |codes: &str| {
        let own = Own::start(&format!(
            "plugin = \"tmeister\"\naccess_ttl = \"8s\"\ncodes = \"{codes}\""
        ));
        tmeister(&own.url);
        // The session of the first login ended with its token, and that is how it is listed.
        let listed = own.issuer(&["sessions", "list"]);
        let first = listed["sessions"].as_array().unwrap().last().unwrap();
        let about = (&first["client"], &first["state"], &first["reason"]);
        let (client, state, reason) = ("wordpress-tmeister", "expired", "absolute");
        assert_eq!(about, (&client.into(), &state.into(), &reason.into()));
    };
    at_once([&|| tmeister(&site.url()), &|| at_issuer("plugin"), &|| {
        at_issuer("distinct");
    }]);
}

#[test]
fn tmeister_ended_by_the_server_is_seen_in_its_403() {
    for (codes, answers, code) in [
        ("plugin", "jwt_auth_invalid_token", "API02011"),
        ("distinct", "jwt_auth_token_revoked", "API02011"),
    ] {
        let own = Own::start(&format!("plugin = \"tmeister\"\ncodes = \"{codes}\""));
        let home = found(&own.url, "wordpress-tmeister");
        log_in(&home, "cashier", &[]).ok();
        let up = Keeper::start(&home);
        wait_used(&up);
        own.end_sessions();
        let answer = wait_for("the revocation", || {
            let answer = me(&up);
            (answer.status != 200).then_some(answer)
        });
        assert_eq!(answer.status, 403, "{answer:?}");
        assert_eq!(answer.json()["code"], answers, "{answer:?}");
        assert_eq!(answer.header("tenure-code"), Some(code), "{answer:?}");
        up.stop();
    }
}

/// A login, its use, its renewal with the cookie, and its end. Tokens live 4 s.
fn usefulteam(url: &str, end: impl Fn(), code: &str) {
    let home = found(url, "wordpress-usefulteam");
    wrong_password_is_named(&home);
    let said = log_in(&home, "cashier", &[]).ok().err;
    assert!(!said.contains("warning"), "{said}");
    let up = Keeper::start(&home);
    wait_used(&up);
    wait_renewed(&up, &home);
    end();
    wait_for("the end", || (me(&up).status != 200).then_some(()));
    ends_with(&up, code);
    log_in(&home, "cashier", &[]).ok();
    wait_used(&up);
    up.stop();
}

#[test]
fn usefulteam_is_kept_alike_at_plugin_and_issuer() {
    let site = Usefulteam::start();
    site.set_access_ttl(4);
    let at_issuer = |codes: &str, code: &str| {
        let own = Own::start(&format!(
            "plugin = \"usefulteam\"\naccess_ttl = \"4s\"\ncodes = \"{codes}\""
        ));
        usefulteam(&own.url, || own.end_sessions(), code);
    };
    at_once([
        &|| usefulteam(&site.url(), || site.remove_device(2, ""), "API02008"),
        &|| at_issuer("plugin", "API02008"),
        &|| at_issuer("distinct", "API02014"),
    ]);
}

#[test]
fn a_new_secret_costs_no_login_and_apis_share_it() {
    let own = Own::start("plugin = \"usefulteam\"");
    let home = found(&own.url, "wordpress-usefulteam");
    log_in(&home, "cashier", &[]).ok();
    let up = Keeper::start(&home);
    wait_used(&up);
    let first = own.issuer(&["keys", "secret"])["secret"].clone();
    let shown = own.home.run(&["issuer", "keys", "secret"]).ok();
    assert_eq!(shown.out.trim(), first, "alone, for a pipe");
    let api = Api::start(&own.url, first.as_str().unwrap());
    assert!(api.judge(&token(&home)).is_ok());

    let old = token(&home);
    let made = own.issuer(&["keys", "secret", "--new"]);
    assert_eq!(made["made"], true);
    assert_ne!(made["secret"], first);
    wait_for("the session to go on with the new secret", || {
        (me(&up).status == 200 && token(&home) != old).then_some(())
    });
    assert_eq!(up.shop()["state"], "fresh");
    assert!(matches!(
        api.judge(&token(&home)),
        Err(Refusal::Invalid { .. })
    ));

    // With the new one the API accepts it, and learns when it is revoked.
    let api = Api::start(&own.url, made["secret"].as_str().unwrap());
    let now = token(&home);
    let verified = api.judge(&now).expect("a good token");
    let number = own.issuer(&["sessions", "list"]);
    assert_eq!(number["sessions"][0]["client"], "wordpress-usefulteam");
    assert!(verified.subject.is_some_and(|id| id.parse::<u64>().is_ok()));
    own.end_sessions();
    wait_for("the API to know", || {
        matches!(api.judge(&now), Err(Refusal::Revoked)).then_some(())
    });
    up.stop();
}

/// An API in another process: it shares the secret and follows the issuer's revocations.
struct Api {
    runtime: tokio::runtime::Runtime,
    verifier: Verifier,
}

impl Api {
    fn start(issuer: &str, secret: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let keys = KeySet::single_secret(None, secret.as_bytes()).unwrap();
        let url = format!("{issuer}/revocations").parse().unwrap();
        let client = tenure_http::Client::new().unwrap();
        let verifier = runtime.block_on(async {
            let feed = RevocationFeed::follow(url, client, Options::default()).unwrap();
            feed.ready().await;
            Verifier::builder(KeySource::fixed(keys))
                .issuer(issuer)
                .revocation(feed)
                .build()
                .unwrap()
        });
        Self { runtime, verifier }
    }

    fn judge(&self, token: &str) -> Result<tenure_verify::Verified, Refusal> {
        self.runtime.block_on(self.verifier.verify(token))
    }
}

/// A login in the browser, its use, its renewal with a refresh token that stays, and its end. Tokens live 4 s.
fn wcpos(url: &str, submit: impl Fn(&str, &str) -> Answer, end: impl Fn(), code: &str) {
    let home = found(url, "wcpos");
    let mut login = Process::spawn(&mut home.command(&["login", "shop", "--browser"]));
    let page = login.wait_for_line("/wcpos-auth").trim().to_owned();
    let wrong = submit(&page, "canary-wrong");
    assert!(
        matches!(wrong.status, 200 | 400),
        "the form again: {wrong:?}"
    );
    assert!(login.try_status().is_none());
    let redirect = submit(&page, "secret");
    assert!(matches!(redirect.status, 302 | 303), "{redirect:?}");
    let landed = get(redirect.header("location").unwrap());
    assert_eq!(landed.status, 200, "{landed:?}");
    assert_eq!(login.wait().code(), Some(0), "{}", login.stderr());
    assert!(!(login.stdout() + &login.stderr()).contains("eyJ"));

    let up = Keeper::start(&home);
    wait_used(&up);
    wait_renewed(&up, &home);
    end();
    wait_for("the end", || (me(&up).status != 200).then_some(()));
    ends_with(&up, code);
    up.stop();
}

fn form(url: &str, cookie: &str, fields: &str) -> Answer {
    let kind = ("content-type", "application/x-www-form-urlencoded");
    request("POST", url, &[kind, ("cookie", cookie)], fields)
}

/// The plugin's page: the form goes to the page's own address.
fn submit_to_plugin(page: &str, password: &str) -> Answer {
    form(page, "", &format!("wcpos-log=cashier&wcpos-pwd={password}"))
}

/// The issuer's page: with what the form carries, and the cookie.
fn submit_to_issuer(page: &str, password: &str) -> Answer {
    let shown = get(page);
    assert_eq!(shown.status, 200, "{shown:?}");
    let field = |name: &str| {
        let (_, rest) = shown
            .body
            .split_once(&format!("name=\"{name}\" value=\""))
            .unwrap();
        let value = rest.split_once('"').unwrap().0;
        let value = value.replace("&#38;", "&").replace("&amp;", "&");
        url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>()
    };
    let cookie = shown
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let (action, _) = page.split_once('?').unwrap();
    let fields = format!(
        "asked={}&token={}&username=cashier&password={password}",
        field("asked"),
        field("token")
    );
    form(action, cookie, &fields)
}

#[test]
fn wcpos_is_kept_alike_at_plugin_and_issuer() {
    let site = Wcpos::start();
    site.set_access_ttl(4);
    let end = || site.revoke_all_sessions();
    let at_issuer = |codes: &str| {
        let own = Own::start(&format!(
            "plugin = \"wcpos\"\naccess_ttl = \"4s\"\ncodes = \"{codes}\""
        ));
        wcpos(
            &own.url,
            submit_to_issuer,
            || own.end_sessions(),
            "API02014",
        );
    };
    at_once([
        &|| wcpos(&site.url(), submit_to_plugin, end, "API02014"),
        &|| at_issuer("plugin"),
        &|| at_issuer("distinct"),
    ]);
}

#[test]
fn the_secret_is_for_dialects_only_and_settings_are_checked() {
    let home = Home::new();
    let base = "[issuer]\nurl = \"https://id.example\"\naudience = \"api\"\n";
    home.write("tenure.toml", base);
    let none = home.run(&["issuer", "keys", "secret"]);
    assert_eq!(none.code, 2, "{none:?}");
    assert!(none.err.contains("[issuer.wordpress]"), "{none:?}");
    for (text, place, says) in [
        ("plugin = \"tmeistr\"", ":5:10", "\"usefulteam\""),
        ("", ":4:", "`issuer.wordpress.plugin` is missing"),
        (
            "plugin = \"wcpos\"\ncodes = \"all\"",
            ":6:9",
            "\"distinct\"",
        ),
        (
            "plugin = \"wcpos\"\naccess_ttl = \"60d\"",
            ":6:14",
            "at most thirty days",
        ),
        (
            "plugin = \"wcpos\"\ncode = 1",
            ":6:1",
            "did you mean `codes`?",
        ),
    ] {
        home.write(
            "tenure.toml",
            &format!("{base}[issuer.wordpress]\n{text}\n"),
        );
        let ran = home.run(&["issuer", "keys", "list"]);
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(
            ran.err.contains(place) && ran.err.contains(says),
            "{text}: {ran:?}"
        );
    }
}

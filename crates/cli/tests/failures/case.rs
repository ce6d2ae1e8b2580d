//! One failure as all four places must tell it, and the driver that looks.

use serde_json::Value;

use crate::common::{Answer, Home, wait_for};
use crate::stage::Stage;
use crate::support::Keeper;

/// What must be seen of one failure.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Codes, from the one that is shown to the one it comes from.
    pub chain: &'static [&'static str],
    /// Class of the last.
    pub class: &'static str,
    /// First step.
    pub heal: &'static str,
    /// Who takes it.
    pub who: &'static str,
    /// State of the session.
    pub state: &'static str,
    /// Exit code of `tenure token`.
    pub token: i32,
    /// Status of the gateway's answer.
    pub gateway: u16,
    /// Kind of the event that tells of it.
    pub event: &'static str,
}

impl Case {
    /// Asks through the gateway until the failure is shown, looks at all four places, heals, and sees it gone.
    pub fn prove(self, stage: &mut Stage, heal: impl FnOnce(&mut Stage)) {
        self.told(stage);
        heal(stage);
        healed(stage);
    }

    /// The failure, as every place tells it.
    pub fn told(self, stage: &Stage) {
        let (up, home) = (stage.up(), &stage.home);
        let mut answer = None;
        let shop = wait_for(self.chain[0], || {
            answer = Some(up.get(&stage.path));
            let shop = up.shop();
            let seen = codes(&shop["failure"]) == self.chain && shop["state"] == self.state;
            let last = answer
                .as_ref()
                .is_some_and(|answer| answer.status == self.gateway);
            if !seen || !last {
                stage.remember(format!("{answer:?}\n{shop}"));
            }
            (seen && last).then_some(shop)
        });
        self.named(&shop["failure"]);
        self.answered(&answer.unwrap());
        self.shown_by_status(home);
        self.shown_by_token(home);
        self.shown_on_the_page(up);
        self.shown_in_an_event(home);
    }

    /// Whether the failure is the expected one, in all its words.
    fn named(&self, failure: &Value) {
        assert_eq!(codes(failure), self.chain, "{failure:#}");
        assert_eq!(failure["heal"], self.heal, "{failure:#}");
        assert_eq!(failure["who"], self.who, "{failure:#}");
        let root = root(failure);
        assert_eq!(root["class"], self.class, "{failure:#}");
        let said = |field: &str| root[field].as_str().is_some_and(|text| !text.is_empty());
        assert!(said("cause") && said("detail") && said("rule"), "{root:#}");
        let command = failure["command"].as_str();
        match self.heal {
            "relogin" => assert_eq!(command, Some("tenure login shop"), "{failure:#}"),
            _ => assert_eq!(command, None, "nothing to type heals this: {failure:#}"),
        }
    }

    fn answered(&self, answer: &Answer) {
        let code = answer.header("tenure-code").unwrap_or_default();
        assert!(self.chain.contains(&code), "{answer:?}");
        let own = answer.header("content-type") == Some("application/problem+json");
        if own {
            // `type` is the page's address; all else is as everywhere.
            let problem = answer.json();
            self.named_without_rule(&problem);
        } else {
            assert!(answer.header("tenure-generation").is_some(), "{answer:?}");
        }
    }

    fn named_without_rule(&self, problem: &Value) {
        assert_eq!(codes(problem), self.chain, "{problem:#}");
        assert_eq!(root(problem)["class"], self.class, "{problem:#}");
        assert_eq!(problem["heal"], self.heal, "{problem:#}");
        assert_eq!(problem["who"], self.who, "{problem:#}");
        let page = format!("/error-codes/{}", self.chain[0]);
        assert!(
            problem["type"].as_str().unwrap().ends_with(&page),
            "{problem:#}"
        );
    }

    fn shown_by_status(&self, home: &Home) {
        let shop = wait_for("the command line to know", || {
            let shown = home.run(&["status", "shop", "--json"]).ok().json();
            let shop = shown["sessions"][0].clone();
            (codes(&shop["failure"]) == self.chain).then_some(shop)
        });
        self.named(&shop["failure"]);
        assert_eq!(shop["state"], self.state, "{shop:#}");
    }

    fn shown_by_token(&self, home: &Home) {
        let ran = home.run(&["token", "shop", "--json", "--min-valid", "0s"]);
        assert_eq!(ran.code, self.token, "{ran:?}");
        if self.token != 0 {
            self.named(&ran.json()["error"]["failure"]);
        }
    }

    fn shown_on_the_page(&self, up: &Keeper) {
        let page = crate::common::get(&up.admin_url("/")).body;
        let row = failure_row(&page).unwrap_or_else(|| panic!("no failure on {page}"));
        for code in self.chain {
            assert!(
                row.contains(&format!("/error-codes/{code}\">{code} ")),
                "{row}"
            );
        }
        assert!(
            page.contains(&format!("class=\"state {}\"", self.state)),
            "{page}"
        );
    }

    fn shown_in_an_event(&self, home: &Home) {
        let events = events(home);
        let told = events.iter().any(|event| {
            let root = root(&event["failure"]);
            event["kind"] == self.event
                && root["code"] == *self.chain.last().unwrap()
                && root["class"] == self.class
        });
        assert!(told, "no {} of {:?}: {events:#?}", self.event, self.chain);
    }
}

/// After the first step everything is well again, in every place.
pub fn healed(stage: &Stage) {
    wait_for("the healing", || {
        let answer = stage.up().get(&stage.path);
        let shop = stage.up().shop();
        stage.remember(format!("{answer:?}\n{shop}"));
        let good = matches!(shop["state"].as_str(), Some("fresh" | "due"));
        (answer.status == 200
            && (answer.header("tenure-code").is_none())
            && good
            && shop["failure"].is_null())
        .then_some(())
    });
    wait_for("the command line to know", || {
        let shown = stage.home.run(&["status", "shop", "--json"]).ok().json();
        shown["sessions"][0]["failure"].is_null().then_some(())
    });
    stage.home.run(&["token", "shop", "--min-valid", "0s"]).ok();
    let page = crate::common::get(&stage.up().admin_url("/")).body;
    assert_eq!(failure_row(&page), None);
}

/// The codes of a failure's chain, outermost first; none for no failure.
pub fn codes(failure: &Value) -> Vec<String> {
    let links = std::iter::successors(Some(failure), |failure| failure.get("because"));
    links
        .filter_map(|failure| failure["code"].as_str().map(str::to_owned))
        .collect()
}

fn root(failure: &Value) -> &Value {
    match failure.get("because") {
        None | Some(Value::Null) => failure,
        Some(because) => root(because),
    }
}

/// The row below a session on the status page.
fn failure_row(page: &str) -> Option<&str> {
    let (_, row) = page.split_once("<tr class=\"failure\">")?;
    row.split_once("</tr>").map(|(row, _)| row)
}

/// What `tenure events` tells.
pub fn events(home: &Home) -> Vec<Value> {
    let told = home.run(&["events", "shop", "--json"]).ok().out;
    told.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A failure that Tenure heals by itself: the first step of its fix list is Tenure's own, a refresh. `hold` keeps
/// the exchange waiting, so that the failure can be seen; `release` lets it go on.
pub fn heals_itself(case: Case, stage: &mut Stage, gate: &tenure_lab::Gate) {
    let url = stage.up().gateway_url(&stage.path);
    let asking = std::thread::spawn(move || crate::common::get(&url));
    let shop = wait_for("the refusal to be shown", || {
        let shop = stage.up().shop();
        stage.remember(shop.to_string());
        (codes(&shop["failure"]) == case.chain && shop["state"] == case.state).then_some(shop)
    });
    case.named(&shop["failure"]);
    case.shown_by_status(&stage.home);
    case.shown_on_the_page(stage.up());
    case.shown_in_an_event(&stage.home);
    gate.open();
    let answer = asking.join().unwrap();
    assert_eq!(answer.status, case.gateway, "{answer:?}");
    assert_eq!(answer.header("tenure-replayed"), Some("1"), "{answer:?}");
    // What was healed is no failure of the answer.
    assert_eq!(answer.header("tenure-code"), None, "{answer:?}");
    healed(stage);
}

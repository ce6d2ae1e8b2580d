//! Failures as servers send them: none may ever pass for a grant, in any dialect.

mod common;

use common::*;
use serde::Deserialize;
use std::collections::BTreeMap;
use tenure_wire::{Dialect, Exchange, JsonFields, Response, TokenAnswer};

const LINES: &str = include_str!("data/token_failures.jsonl");

#[derive(Deserialize)]
struct Line {
    id: String,
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
    /// `refused:<error>` or `unusable:<why>`, as the dialect oauth2 sees it.
    expect: String,
}

impl Line {
    fn response(&self) -> Response {
        let headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        response(self.status, &headers, &self.body)
    }
}

fn lines() -> Vec<Line> {
    LINES
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of the data file"))
        .collect()
}

#[test]
fn each_failure_is_read_as_what_it_is() {
    for line in lines() {
        let seen = match refresh_ends(Dialect::OAuth2, &line.response()) {
            TokenAnswer::Refused(refusal) => {
                format!("refused:{}", refusal.error.unwrap_or_default())
            }
            TokenAnswer::Unusable(unusable) => format!("unusable:{}", unusable.why),
            TokenAnswer::Granted(granted) => panic!("{}: {granted:?}", line.id),
        };
        assert_eq!(seen, line.expect, "{}", line.id);
    }
}

#[test]
fn no_failure_passes_for_a_grant_in_any_dialect() {
    let dialects = [
        Dialect::OAuth2,
        Dialect::JsonRefresh(JsonFields::default()),
        Dialect::WordpressTmeister,
        Dialect::WordpressUsefulteam,
        Dialect::SimpleJwtLogin { version: 3 },
        Dialect::SimpleJwtLogin { version: 4 },
        Dialect::Wcpos,
    ];
    for line in lines() {
        for dialect in dialects.clone() {
            let name = dialect.as_str();
            let answer = match dialect {
                Dialect::WordpressTmeister => login_ends(dialect, &line.response()),
                other => refresh_ends(other, &line.response()),
            };
            assert!(
                !matches!(answer, TokenAnswer::Granted(_)),
                "{} passes for a grant of {name}",
                line.id
            );
        }
    }
}

#[test]
fn no_failure_passes_for_a_rotated_cookie() {
    for line in lines() {
        let server = server(Dialect::WordpressUsefulteam);
        let held = tenure_core::Secret::new("7.old");
        let (mut exchange, _) = Exchange::refresh(
            &server,
            &client(tenure_wire::ClientAuth::None),
            &held,
            None,
            true,
            &ctx(),
        )
        .expect("a refresh");
        let first = json(200, r#"{"success":true,"data":{"token":"a"}}"#);
        assert!(matches!(
            exchange.on_response(&first, &ctx()),
            tenure_wire::Step::Send(_)
        ));
        let granted = granted(end(&mut exchange, &line.response()));
        assert_eq!(granted.refresh, None, "{}", line.id);
        assert!(exchange.second_step_failure().is_some(), "{}", line.id);
    }
}

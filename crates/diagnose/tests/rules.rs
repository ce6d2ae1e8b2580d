//! Every rule recognises its own example, and says where it comes from.
#![allow(clippy::unwrap_used)] // A rule that cannot be read must stop the test.

use serde_json::{Map, Value, json};
use tenure_diagnose::classify::rules::{Rule, rules};
use tenure_diagnose::lines::Line;

fn line(rule: &Rule) -> Line {
    let example = &rule.example;
    let local: Map<String, Value> = example
        .local
        .iter()
        .map(|(name, value)| (name.clone(), serde_json::to_value(value).unwrap()))
        .collect();
    let place = example
        .place
        .as_deref()
        .or(rule.place())
        .unwrap_or("resource");
    Line::of(&json!({
        "where": place,
        "request": { "grant": example.grant },
        "status": example.status,
        "headers": example.headers,
        "body": example.body,
        "local": local,
        "provider": example.profile,
    }))
    .unwrap()
}

#[test]
fn every_example_is_classified_as_its_rule_says() {
    let mut wrong = Vec::new();
    for rule in rules() {
        let finding = line(rule).judge();
        let failure = &finding.failure;
        let heal = rule.heal.is_none_or(|(heal, _)| heal == failure.heal);
        if failure.class != rule.class || !heal {
            wrong.push(format!(
                "{}: {}/{} by {} instead of {}",
                rule.id, failure.class, failure.heal, failure.rule, rule.class
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\n{} of {}",
        wrong.join("\n"),
        wrong.len(),
        rules().len()
    );
}

#[test]
fn no_rule_is_hidden_behind_another() {
    let hidden: Vec<String> = rules()
        .iter()
        .filter_map(|rule| {
            let by = line(rule).judge().failure.rule;
            (by != rule.id && !by.starts_with("local.")).then(|| format!("{} by {by}", rule.id))
        })
        .collect();
    // Where several rules say the same of one answer any of them may speak, but rules that are never heard rot.
    assert!(
        hidden.len() * 12 <= rules().len(),
        "{} of {}:\n{}",
        hidden.len(),
        rules().len(),
        hidden.join("\n")
    );
}

#[test]
fn rules_say_where_they_come_from() {
    for rule in rules() {
        assert!(
            !rule.source.trim().is_empty() && !rule.group.is_empty(),
            "{}",
            rule.id
        );
        assert!(
            rule.cause
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
            "{}: cause {:?}",
            rule.id,
            rule.cause
        );
    }
}

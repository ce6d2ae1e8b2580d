//! `cargo xtask corpus`: what the classifier makes of the labelled answers, and whether that holds the line.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use tenure_diagnose::corpus::{Report, Tally, measure};

/// The corpus that the tests use, from the root of the workspace.
pub(crate) const SHIPPED: &str = "crates/diagnose/tests/data/failures.jsonl";
/// Right classes in a hundred that are wanted.
const CLASS: f64 = 98.0;
/// Right first steps in a hundred that are wanted.
const HEAL: f64 = 99.0;

pub(crate) fn run(path: &Path) -> ExitCode {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("cannot read {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    };
    match measure(&text) {
        Ok(report) => judge(&report),
        Err((line, error)) => {
            eprintln!("{}:{line}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}

fn judge(report: &Report) -> ExitCode {
    table("class", &report.by(|case| &case.class));
    table("system", &report.by(|case| &case.system));
    println!("Misses");
    for miss in report.misses() {
        let harm = miss
            .harm
            .map(|harm| format!(" HARMFUL: {harm}"))
            .unwrap_or_default();
        println!(
            "  {} ({}){harm}\n    got    {}\n    wanted {}\n    {}",
            miss.id, miss.system, miss.got, miss.wanted, miss.answer
        );
    }
    println!(
        "\nHalves, by a hash of the system's name. The rules were first written from documentation, then corrected by\n\
         the misses of the first half while the second was not looked at, and in the end by those of both: the numbers\n\
         below are those of today, on answers the rules have seen, and say nothing about answers they have not."
    );
    row("first half", &report.half(false));
    row("second half", &report.half(true));
    let total = report.total();
    row("all", &total);
    let holds =
        total.class_percent() >= CLASS && total.heal_percent() >= HEAL && total.harmful == 0;
    println!(
        "wanted: class {CLASS} %, heal {HEAL} %, no harmful verdict: {}",
        if holds { "held" } else { "MISSED" }
    );
    if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn table(title: &str, groups: &BTreeMap<String, Tally>) {
    println!("By {title}");
    for (name, tally) in groups {
        row(name, tally);
    }
    println!();
}

fn row(name: &str, tally: &Tally) {
    println!(
        "  {name:<42} {:>4} cases  class {:>5.1} %  heal {:>5.1} %  harmful {}",
        tally.all,
        tally.class_percent(),
        tally.heal_percent(),
        tally.harmful
    );
}

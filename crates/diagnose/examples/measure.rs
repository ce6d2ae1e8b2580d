//! Prints what the classifier makes of a corpus: `cargo run -p tenure-diagnose --example measure -- FILE [first|second]`.
#![allow(clippy::unwrap_used)] // A tool for developers.
fn main() {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap();
    let half = args.next();
    let report = tenure_diagnose::corpus::measure(&std::fs::read_to_string(path).unwrap()).unwrap();
    for (name, tally) in [
        ("all", report.total()),
        ("first half", report.half(false)),
        ("second half", report.half(true)),
    ] {
        println!(
            "{name}: {} cases, class {:.1} %, heal {:.1} %, harmful {}",
            tally.all,
            tally.class_percent(),
            tally.heal_percent(),
            tally.harmful
        );
    }
    for miss in report.misses().filter(|miss| {
        half.as_deref()
            .is_some_and(|half| (half == "second") == miss.second_half || half == "all")
    }) {
        println!(
            "{}{} {}\n  {}\n  got  {}\n  want {} {}",
            if miss.harm.is_some() { "HARM " } else { "" },
            miss.id,
            miss.system,
            miss.answer,
            miss.got,
            miss.wanted,
            miss.harm.unwrap_or_default()
        );
    }
}

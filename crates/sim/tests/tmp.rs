use tenure_sim::*;
#[test]
fn t() {
    let mut n = 0;
    for seed in 0..400 {
        let p = Plan::calm(seed, Persona::Strict, 3)
            .with(&[
                Fault::Login,
                Fault::Forced,
                Fault::Suspend,
                Fault::StoreSlow,
                Fault::Slow,
            ])
            .without(Guard::NewestRow);
        if let Err(w) = once(&p) {
            println!("{seed} {w}");
            n += 1;
            if n > 6 {
                break;
            }
        }
    }
    for seed in 0..400 {
        let p = Plan::calm(seed, Persona::Strict, 3).with(&[
            Fault::Login,
            Fault::Forced,
            Fault::Suspend,
            Fault::StoreSlow,
            Fault::Slow,
        ]);
        if let Err(w) = once(&p) {
            println!("WITH {seed} {w}");
        }
    }
}

use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;

/// A server with one family, its clock, and how many times each generation was rotated away.
#[derive(Clone)]
struct Server {
    family: Family,
    now: i64,
    options: Options,
    killed: Option<Subtype>,
}

/// What a holder was answered: the generation of its new refresh token.
type Answer = Option<u64>;

impl Server {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        Self {
            family: Family::new(0),
            now: 0,
            options,
            killed: None,
        }
    }

    fn present(&mut self, generation: u64) -> Answer {
        let presented = Presented {
            generation,
            matches: true,
        };
        let before = self.family;
        match decide(&self.family, presented, self.now, &self.options) {
            Decision::Rotate(family) => {
                assert_eq!(family.generation, before.generation + 1);
                assert_eq!(
                    generation, before.generation,
                    "only the current token rotates"
                );
                self.family = family;
                Some(family.generation)
            }
            Decision::SameSuccessor(family) => {
                assert_eq!(
                    family.generation, before.generation,
                    "a retry moves nothing"
                );
                self.family = family;
                Some(family.generation)
            }
            Decision::Kill { subtype, family } => {
                assert_eq!(family.revoked, Some(subtype));
                assert!(before.revoked.is_none(), "a family dies once");
                self.killed = Some(subtype);
                self.family = family;
                None
            }
            Decision::Revoked(subtype) => {
                assert_eq!(self.killed, Some(subtype));
                None
            }
            other => panic!("no other end is possible here: {other:?}"),
        }
    }

    fn wait(&mut self, ms: i64) {
        self.now += ms;
    }
}

/// Somebody who holds a refresh token.
#[derive(Clone, Copy)]
struct Holder(u64);

impl Holder {
    fn refresh(&mut self, server: &mut Server) -> bool {
        let answer = server.present(self.0);
        if let Some(generation) = answer {
            self.0 = generation;
        }
        answer.is_some()
    }

    fn refresh_with_lost_reply(self, server: &mut Server) {
        let _lost = server.present(self.0);
    }
}

#[test]
fn s1_a_lost_reply_is_retried_after_5_s() {
    let (mut server, mut owner) = (Server::new(), Holder(1));
    owner.refresh_with_lost_reply(&mut server);
    server.wait(5 * SECOND);
    assert!(owner.refresh(&mut server));
    server.wait(HOUR);
    assert!(owner.refresh(&mut server));
    assert_eq!(server.family.generation, 3);
}

#[test]
fn s2_a_lost_reply_is_retried_after_8_h() {
    let (mut server, mut owner) = (Server::new(), Holder(1));
    owner.refresh_with_lost_reply(&mut server);
    server.wait(8 * HOUR);
    // The late reply is lost too, and so is the one after a further night.
    owner.refresh_with_lost_reply(&mut server);
    server.wait(8 * HOUR);
    for _ in 0..50 {
        assert!(owner.refresh(&mut server));
        server.wait(HOUR);
    }
}

#[test]
fn s2_again_after_ten_generations_is_forgiven_again() {
    let (mut server, mut owner) = (Server::new(), Holder(1));
    for _ in 0..20 {
        owner.refresh_with_lost_reply(&mut server);
        server.wait(8 * HOUR);
        for _ in 0..11 {
            assert!(owner.refresh(&mut server));
            server.wait(HOUR);
        }
    }
}

#[test]
fn s3_two_processes_with_separate_stores_live_on() {
    let (mut server, mut one, mut two) = (Server::new(), Holder(1), Holder(1));
    for round in 0..200 {
        let (first, second) = if round % 3 == 0 {
            (&mut two, &mut one)
        } else {
            (&mut one, &mut two)
        };
        assert!(first.refresh(&mut server));
        server.wait(50);
        assert!(second.refresh(&mut server));
        server.wait(HOUR);
    }
    assert_eq!(server.family.generation, 201, "one exchange per generation");
}

#[test]
fn s4_a_copy_used_alternately_is_caught_at_the_second_refresh() {
    let (mut server, mut owner, mut thief) = (Server::new(), Holder(1), Holder(1));
    let mut rounds = 0;
    while server.killed.is_none() {
        owner.refresh(&mut server);
        server.wait(HOUR / 2);
        thief.refresh(&mut server);
        server.wait(HOUR / 2);
        rounds += 1;
        assert!(rounds <= 2, "not caught");
    }
    assert_eq!(server.killed, Some(Subtype::LateRetries));
    assert!(!owner.refresh(&mut server) && !thief.refresh(&mut server));
}

#[test]
fn s5_thief_first_then_the_owner_is_caught_at_the_owners_second_refresh() {
    let (mut server, mut owner, mut thief) = (Server::new(), Holder(1), Holder(1));
    assert!(thief.refresh(&mut server));
    server.wait(2 * HOUR);
    assert!(owner.refresh(&mut server));
    server.wait(HOUR);
    assert!(thief.refresh(&mut server));
    server.wait(2 * HOUR);
    assert!(!owner.refresh(&mut server));
    assert!(server.killed.is_some());
}

#[test]
fn s6_a_token_three_generations_old_kills_even_inside_the_window() {
    let (mut server, mut owner, mut thief) = (Server::new(), Holder(1), Holder(1));
    for _ in 0..3 {
        assert!(owner.refresh(&mut server));
    }
    server.wait(5 * SECOND);
    assert!(!thief.refresh(&mut server));
    assert_eq!(server.killed, Some(Subtype::StaleGeneration));
}

#[test]
fn where_use_is_visible_no_late_retry_is_counted_and_a_used_successor_kills() {
    let options = Options {
        use_visible: true,
        ..Options::default()
    };
    let (mut server, mut owner) = (Server::with(options), Holder(1));
    for _ in 0..5 {
        owner.refresh_with_lost_reply(&mut server);
        server.wait(8 * HOUR);
        assert!(owner.refresh(&mut server));
        server.family = server.family.confirm(owner.0);
        server.wait(HOUR);
    }
    let mut thief = Holder(owner.0 - 1);
    assert!(!thief.refresh(&mut server));
    assert_eq!(server.killed, Some(Subtype::SuccessorUsed));
}

#[test]
fn a_late_use_report_of_an_older_generation_confirms_nothing() {
    let family = Family {
        generation: 3,
        ..Family::new(0)
    };
    assert!(!family.confirm(2).confirmed);
    assert!(family.confirm(3).confirmed);
}

#[test]
fn the_wrong_client_spends_and_kills_nothing() {
    let family = Family {
        generation: 5,
        ..Family::new(0)
    };
    for generation in 0..8 {
        let presented = Presented {
            generation,
            matches: false,
        };
        assert_eq!(
            decide(&family, presented, 0, &Options::default()),
            Decision::RefuseMismatch
        );
    }
}

#[test]
fn a_generation_never_reached_is_unknown_and_harmless() {
    for generation in [0, 2, u64::MAX] {
        let presented = Presented {
            generation,
            matches: true,
        };
        assert_eq!(
            decide(&Family::new(0), presented, 0, &Options::default()),
            Decision::Unknown
        );
    }
}

#[test]
fn lifetimes_end_by_idling_and_by_age() {
    let options = Options {
        idle_ms: Some(1_000),
        absolute_ms: Some(2_500),
        ..Options::default()
    };
    let presented = Presented {
        generation: 1,
        matches: true,
    };
    let family = Family::new(0);
    assert_eq!(family.ends_ms(&options), Some(1_000));
    let Decision::Rotate(family) = decide(&family, presented, 1_000, &options) else {
        panic!("alive at the very end")
    };
    assert_eq!(
        decide(&Family::new(0), presented, 1_001, &options),
        Decision::Expired {
            limit: Limit::Idle,
            by_ms: 1
        }
    );
    let family = Family {
        used_ms: 2_400,
        ..family
    };
    assert_eq!(family.ends_ms(&options), Some(2_500));
    assert_eq!(
        decide(&family, presented, 2_600, &options),
        Decision::Expired {
            limit: Limit::Absolute,
            by_ms: 100
        }
    );
}

#[test]
fn without_rotation_the_token_stays() {
    let options = Options {
        rotate: false,
        ..Options::default()
    };
    let mut server = Server::with(options);
    for _ in 0..5 {
        assert_eq!(server.present(1), Some(1));
        server.wait(HOUR);
    }
}

#[test]
fn a_clock_set_back_kills_nobody() {
    let (mut server, mut owner) = (Server::new(), Holder(1));
    server.wait(HOUR);
    owner.refresh_with_lost_reply(&mut server);
    server.now = 0;
    assert!(owner.refresh(&mut server));
    assert!(owner.refresh(&mut server));
}

#[test]
fn the_first_cause_of_a_revocation_stays() {
    let family = Family::new(0)
        .revoke(Subtype::ClientRequest)
        .revoke(Subtype::Administrator);
    assert_eq!(family.revoked, Some(Subtype::ClientRequest));
    for subtype in Subtype::ALL {
        assert_eq!(Subtype::parse(subtype.as_str()), Some(subtype));
    }
}

/// One step of a history: who, whether the reply arrives, and the wait before.
#[derive(Clone, Copy, Debug)]
struct Step {
    who: usize,
    delivered: bool,
    wait: i64,
}

/// Runs one step and checks what must hold after every step of any history; returns the presented age.
fn step(server: &mut Server, holders: &mut [Holder], step: Step) -> u64 {
    server.wait(step.wait);
    let presented = holders[step.who].0;
    let age = server.family.generation - presented;
    let alive = server.family.revoked.is_none();
    let answer = server.present(presented);
    if alive && age == 0 {
        assert!(
            answer.is_some(),
            "the current token of a living family is always good"
        );
    }
    if age >= 2 {
        assert!(
            answer.is_none(),
            "a token two generations old is never good"
        );
    }
    if !alive {
        assert!(answer.is_none(), "the dead stay dead");
    }
    if step.delivered
        && let Some(generation) = answer
    {
        holders[step.who].0 = generation;
    }
    age
}

/// Counts late retries the way a person would, from the history alone: distinct generations retried outside
/// the window, and whether two of them lie closer than ten generations.
#[derive(Clone, Default)]
struct Oracle {
    window_from: i64,
    late: Vec<u64>,
}

impl Oracle {
    fn note(&mut self, server: &Server, age: u64, generation_before: u64) {
        match age {
            0 => self.window_from = server.now,
            1 if server.now - self.window_from > 30 * SECOND => {
                self.window_from = server.now;
                if self.late.last() != Some(&generation_before) {
                    self.late.push(generation_before);
                }
            }
            _ => {}
        }
    }

    fn two_close_late_retries(&self) -> bool {
        self.late.windows(2).any(|pair| pair[1] - pair[0] < 10)
    }
}

/// Follows every history of up to `depth` steps; returns how many were seen and how many ended in a kill.
fn explore(server: &Server, holders: &[Holder], oracle: &Oracle, depth: u32) -> (u64, u64) {
    if depth == 0 || server.killed.is_some() {
        return (1, u64::from(server.killed.is_some()));
    }
    let mut seen = (0, 0);
    for who in 0..holders.len() {
        for delivered in [true, false] {
            for wait in [SECOND, 31 * SECOND] {
                let (mut server, mut holders, mut oracle) =
                    (server.clone(), holders.to_vec(), oracle.clone());
                let before = server.family.generation;
                let age = step(
                    &mut server,
                    &mut holders,
                    Step {
                        who,
                        delivered,
                        wait,
                    },
                );
                oracle.note(&server, age, before);
                check(&server, &oracle, holders.len(), age);
                let more = explore(&server, &holders, &oracle, depth - 1);
                seen = (seen.0 + more.0, seen.1 + more.1);
            }
        }
    }
    seen
}

/// A family dies exactly when it must: by a token two generations old, or by two late retries too close to
/// each other. A sole holder never has a token two generations old.
fn check(server: &Server, oracle: &Oracle, holders: usize, age: u64) {
    match server.killed {
        None => assert!(!oracle.two_close_late_retries(), "a theft went unseen"),
        Some(Subtype::LateRetries) => assert!(oracle.two_close_late_retries(), "false theft"),
        Some(Subtype::StaleGeneration) => assert!(holders > 1 && age >= 2, "false theft"),
        Some(other) => panic!("nothing here can cause {other:?}"),
    }
}

#[test]
fn every_short_history_of_a_sole_holder() {
    let (seen, killed) = explore(&Server::new(), &[Holder(1)], &Oracle::default(), 9);
    assert!(
        seen > 100_000 && killed > 0,
        "{seen} histories, {killed} killed"
    );
}

#[test]
fn every_short_history_of_owner_and_second_holder() {
    let (seen, killed) = explore(
        &Server::new(),
        &[Holder(1), Holder(1)],
        &Oracle::default(),
        6,
    );
    assert!(
        seen > 100_000 && killed > 0,
        "{seen} histories, {killed} killed"
    );
}

#[test]
fn every_short_history_of_owner_second_process_and_thief() {
    let holders = [Holder(1), Holder(1), Holder(1)];
    let (seen, killed) = explore(&Server::new(), &holders, &Oracle::default(), 5);
    assert!(
        seen > 100_000 && killed > 0,
        "{seen} histories, {killed} killed"
    );
}

fn steps(holders: usize) -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![Just(0), 0..40 * SECOND, Just(HOUR), Just(8 * HOUR)];
    let one =
        (0..holders, prop::bool::weighted(0.8), wait).prop_map(|(who, delivered, wait)| Step {
            who,
            delivered,
            wait,
        });
    prop::collection::vec(one, 1..80)
}

proptest! {
    #[test]
    fn random_histories_die_exactly_when_they_must(holders in 1usize..4, all in steps(3)) {
        let mut server = Server::new();
        let mut held = vec![Holder(1); holders];
        let mut oracle = Oracle::default();
        for one in all {
            let before = server.family.generation;
            let age = step(&mut server, &mut held, Step { who: one.who % holders, ..one });
            oracle.note(&server, age, before);
            check(&server, &oracle, holders, age);
            if server.killed.is_some() {
                break;
            }
        }
    }

    #[test]
    fn a_sole_holder_who_retries_in_time_is_never_refused(retry_after in prop::collection::vec(0..=30 * SECOND, 1..200)) {
        let (mut server, mut owner) = (Server::new(), Holder(1));
        for wait in retry_after {
            owner.refresh_with_lost_reply(&mut server);
            server.wait(wait);
            prop_assert!(owner.refresh(&mut server));
            server.wait(HOUR);
        }
        prop_assert_eq!(server.family.late_at, None);
    }

    #[test]
    fn two_who_take_turns_slowly_are_caught_within_two_rounds(waits in prop::collection::vec(31 * SECOND..8 * HOUR, 4..20), thief_first in any::<bool>(), head_start in 0u64..30) {
        let (mut server, mut owner) = (Server::new(), Holder(1));
        for _ in 0..head_start {
            prop_assert!(owner.refresh(&mut server));
            server.wait(HOUR);
        }
        let mut holders = [owner, owner];
        for (turn, wait) in waits.into_iter().enumerate() {
            let who = (turn + usize::from(thief_first)) % 2;
            holders[who].refresh(&mut server);
            server.wait(wait);
            if server.killed.is_some() {
                return Ok(());
            }
            prop_assert!(turn < 3, "four turns, each holder two, and nobody was caught");
        }
    }
}

//! The feed of revocations against a server that says what a test wants, in pieces of any size. What the real issuer
//! says is tested with the issuer.

mod common;

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Response};
use axum::routing::get;
use bytes::Bytes;
use common::{NOW, TestClock, builder, claims, claims_with, key, serve, token};
use futures_util::{StreamExt, stream};
use serde_json::json;
use tenure_http::Client;
use tenure_verify::feed::{Options, RevocationFeed, WhenUnknown};
use tenure_verify::{KeySource, Refusal, Verified, Verifier};
use tokio::sync::watch;

const ALIVE: &str = "event: alive\ndata: {\"seq\":5,\"now\":1}\n\n";

/// What the server says when it is asked; the last one again and again.
#[derive(Clone)]
enum Answer {
    Status(u16),
    /// This in pieces of so many bytes, and then nothing more.
    Events(String, usize),
    /// This, and then the end.
    Cut(String),
    /// A page instead of a stream.
    Page,
}

impl Answer {
    fn response(self) -> Response<Body> {
        let (status, kind, body) = match self {
            Answer::Status(status) => (status, "application/json", Body::empty()),
            Answer::Page => (200, "text/html", Body::from("<h1>Welcome</h1>")),
            Answer::Cut(text) => (200, "text/event-stream", Body::from(text)),
            Answer::Events(text, size) => {
                let pieces: Vec<_> = text.as_bytes().chunks(size).collect();
                let pieces: Vec<_> = pieces.into_iter().map(Bytes::copy_from_slice).collect();
                let pieces = stream::iter(pieces).chain(stream::pending());
                let body = Body::from_stream(pieces.map(Ok::<_, Infallible>));
                (200, "text/event-stream", body)
            }
        };
        Response::builder()
            .status(status)
            .header("content-type", kind)
            .body(body)
            .expect("an answer")
    }
}

struct Source {
    url: url::Url,
    /// The `Last-Event-ID` of every request.
    asked: watch::Receiver<Vec<Option<String>>>,
}

impl Source {
    async fn start(answers: Vec<Answer>) -> Self {
        let (ask, asked) = watch::channel(Vec::new());
        let app = Router::new().route(
            "/revocations",
            get(move |headers: HeaderMap| async move {
                let last = common::header(&headers, "last-event-id").map(str::to_owned);
                let turn = ask.borrow().len();
                ask.send_modify(|asked| asked.push(last));
                let answer = answers.get(turn).or(answers.last());
                answer.expect("an answer").clone().response()
            }),
        );
        let url = format!("{}/revocations", serve(app).await);
        Self {
            url: url.parse().expect("a URL"),
            asked,
        }
    }

    fn feed(&self, when_unknown: WhenUnknown) -> RevocationFeed {
        let clock = TestClock::default();
        let options = Options {
            when_unknown,
            // As little as there can be.
            silent_after: Duration::ZERO,
            backoff_most: Duration::from_millis(100),
            clock: std::sync::Arc::new(move || clock.now()),
            ..Options::default()
        };
        let client = Client::new().expect("TLS");
        RevocationFeed::follow(self.url.clone(), client, options).expect("a safe address")
    }

    /// The ids of the first so many requests.
    async fn ids(&self, count: usize) -> Vec<Option<String>> {
        let mut asked = self.asked.clone();
        let enough = asked.wait_for(|asked| asked.len() >= count);
        let asked = in_time(enough).await.expect("running");
        asked[..count].to_vec()
    }
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("in time")
}

fn revoked(id: u32, what: &serde_json::Value) -> String {
    format!("event: revoked\nid: {id}\ndata: {what}\n\n")
}

struct Judge {
    verifier: Verifier,
    old: String,
    other: String,
}

impl Judge {
    fn new(feed: &RevocationFeed) -> Self {
        let key = key("k1");
        let keys = tenure_jose::KeySet::from_signing_key(&key);
        let verifier = builder(KeySource::fixed(keys), &TestClock::default())
            .revocation(feed.clone())
            .build();
        Self {
            verifier: verifier.expect("a verifier"),
            old: token(&key, &claims_with("sid", json!("s1"))),
            other: token(&key, &claims()),
        }
    }

    async fn judge(&self, token: &str) -> Result<Verified, Refusal> {
        self.verifier.verify(token).await
    }

    /// Waits until the token that is not revoked is answered so.
    async fn until(&self, wanted: impl Fn(&Result<Verified, Refusal>) -> bool) {
        in_time(async {
            while !wanted(&self.judge(&self.other).await) {
                tokio::time::sleep(Duration::from_millis(5)).await; // paced: looks again
            }
        })
        .await;
    }
}

fn unavailable(answer: &Result<Verified, Refusal>) -> bool {
    matches!(answer, Err(Refusal::Unavailable { retry_after_s: 1 }))
}

#[tokio::test]
async fn events_in_pieces_are_understood_and_silence_is_a_broken_stream() {
    let events = [
        revoked(5, &json!({"sid": "s1", "until": NOW + 300})),
        ALIVE.into(),
    ];
    let answers = vec![Answer::Events(events.concat(), 1), Answer::Status(503)];
    let source = Source::start(answers).await;
    let feed = source.feed(WhenUnknown::FailClosed);
    let judge = Judge::new(&feed);
    let before = judge.judge(&judge.other).await;
    assert!(unavailable(&before), "nothing is known yet: {before:?}");
    in_time(feed.ready()).await;
    assert_eq!(judge.judge(&judge.old).await.err(), Some(Refusal::Revoked));
    judge.until(Result::is_ok).await;

    assert_eq!(source.ids(2).await, [None, Some("5".into())]);
    judge.until(unavailable).await;
    assert_eq!(
        judge.judge(&judge.old).await.err(),
        Some(Refusal::Revoked),
        "what is known stays known"
    );
}

#[tokio::test]
async fn an_open_verifier_judges_by_what_it_knows() {
    let event = revoked(5, &json!({"sid": "s1", "until": NOW + 300}));
    let answers = vec![Answer::Cut(event), Answer::Status(503)];
    let source = Source::start(answers).await;
    let feed = source.feed(WhenUnknown::FailOpen);
    let judge = Judge::new(&feed);
    source.ids(3).await;
    assert!(!feed.is_connected());
    assert_eq!(judge.judge(&judge.old).await.err(), Some(Refusal::Revoked));
    assert!(judge.judge(&judge.other).await.is_ok());
}

#[tokio::test]
async fn what_is_no_stream_of_an_issuer_is_left_alone() {
    let long = format!("data: {}\n\n", "x".repeat(9_000));
    let first = revoked(7, &json!({"sid": "s2", "until": NOW + 300}));
    let answers = vec![
        Answer::Page,
        Answer::Cut(first + &long),
        Answer::Status(400),
        Answer::Events(format!("event: news\ndata: x\n\n{ALIVE}"), 64),
    ];
    let source = Source::start(answers).await;
    let feed = source.feed(WhenUnknown::FailClosed);
    in_time(feed.ready()).await;
    let ids = source.ids(4).await;
    assert_eq!(
        ids,
        [None, None, Some("7".into()), None],
        "a position that is refused is given up"
    );
    assert_eq!(feed.len(), 1);
}

#[tokio::test]
async fn a_revocation_that_is_not_understood_is_not_taken_for_none() {
    let events = [
        revoked(1, &json!({"tenant": "t", "until": NOW + 300})),
        ALIVE.into(),
    ];
    let source = Source::start(vec![Answer::Events(events.concat(), 64)]).await;
    let (closed, open) = (
        source.feed(WhenUnknown::FailClosed),
        source.feed(WhenUnknown::FailOpen),
    );
    in_time(closed.ready()).await;
    in_time(open.ready()).await;
    let (closed, open) = (Judge::new(&closed), Judge::new(&open));
    assert!(unavailable(&closed.judge(&closed.other).await));
    assert!(open.judge(&open.other).await.is_ok());
}

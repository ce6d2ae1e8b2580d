use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};

use super::{Replay, SendBody};
use crate::body::BoxError;

const LONG: Duration = Duration::from_hours(1);

fn stream(
    parts: &[&'static str],
    trailers: bool,
) -> impl Body<Data = Bytes, Error = Infallible> + Send + use<> {
    let mut frames: Vec<_> = parts
        .iter()
        .map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes()))))
        .collect();
    if trailers {
        let fields: HeaderMap = [(http::header::ETAG, HeaderValue::from_static("sum"))]
            .into_iter()
            .collect();
        frames.push(Ok(Frame::trailers(fields)));
    }
    StreamBody::new(futures_util::stream::iter(frames))
}

/// The next part, if it comes without waiting.
fn now(body: &mut SendBody) -> Poll<Option<Result<Bytes, BoxError>>> {
    let frame = Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()));
    frame.map_ok(|frame| frame.into_data().unwrap_or_default())
}

fn part(body: &mut SendBody) -> Bytes {
    match now(body) {
        Poll::Ready(Some(Ok(data))) => data,
        other => panic!("{other:?}"),
    }
}

async fn all(body: SendBody) -> (Bytes, bool) {
    let collected = body.collect().await.expect("no error");
    let trailers = collected.trailers().is_some();
    (collected.to_bytes(), trailers)
}

#[tokio::test]
async fn no_body_is_always_repeatable() {
    let replay = Replay::new(Full::new(Bytes::new()), 0, true);
    assert!(!replay.expects() && replay.can_repeat());
    let body = replay.body(LONG);
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
}

#[tokio::test]
async fn what_was_sent_is_sent_again_with_its_trailers() {
    let replay = Replay::new(stream(&["one", "two"], true), 6, false);
    assert_eq!(
        all(replay.body(LONG)).await,
        (Bytes::from_static(b"onetwo"), true)
    );
    assert!(replay.can_repeat());
    assert_eq!(
        all(replay.body(LONG)).await,
        (Bytes::from_static(b"onetwo"), true)
    );
}

#[tokio::test]
async fn a_body_taken_back_half_way_is_whole_in_the_second_sending() {
    let replay = Replay::new(stream(&["one", "two"], false), 6, false);
    let mut first = replay.body(LONG);
    assert_eq!(part(&mut first), "one");
    replay.pause();
    assert!(
        now(&mut first).is_pending(),
        "held while the answer is judged"
    );
    let second = replay.body(LONG);
    assert!(
        matches!(now(&mut first), Poll::Ready(Some(Err(_)))),
        "the first sending is dead"
    );
    assert_eq!(all(second).await.0, "onetwo");
}

#[tokio::test]
async fn the_limit_is_exact() {
    for (limit, expects) in [(6, false), (5, true)] {
        assert_eq!(
            Replay::new(Full::new(Bytes::from_static(b"onetwo")), limit, false).expects(),
            expects
        );
        let replay = Replay::new(stream(&["one", "two"], false), limit, false);
        assert!(!replay.expects(), "the length is not known");
        let mut body = replay.body(LONG);
        assert_eq!(part(&mut body), "one");
        assert_eq!(
            now(&mut body).is_pending(),
            expects,
            "the byte too many waits"
        );
        assert!(replay.can_repeat());
    }
}

#[tokio::test]
async fn the_upstreams_request_ends_the_hold_and_repeatability() {
    let replay = Replay::new(stream(&["one", "two"], false), 5, false);
    let mut body = replay.body(LONG);
    assert_eq!(part(&mut body), "one");
    assert!(now(&mut body).is_pending());
    replay.release();
    assert_eq!(part(&mut body), "two");
    assert!(!replay.can_repeat());
    assert!(matches!(now(&mut body), Poll::Ready(None)), "the end");
}

#[tokio::test]
async fn a_held_body_is_whole_in_the_second_sending() {
    let replay = Replay::new(stream(&["one", "two", "three"], false), 5, false);
    let mut first = replay.body(LONG);
    assert_eq!(part(&mut first), "one");
    assert!(now(&mut first).is_pending());
    assert!(replay.can_repeat());
    assert_eq!(all(replay.body(LONG)).await.0, "onetwothree");
}

#[tokio::test]
async fn an_expecting_body_waits_for_the_upstream_or_the_time() {
    let replay = Replay::new(Full::new(Bytes::from_static(b"onetwo")), 5, false);
    let mut body = replay.body(LONG);
    assert!(now(&mut body).is_pending());
    replay.release();
    assert_eq!(part(&mut body), "onetwo");
    let replay = Replay::new(Full::new(Bytes::from_static(b"onetwo")), 5, false);
    assert_eq!(all(replay.body(Duration::from_millis(5))).await.0, "onetwo");
    assert!(!replay.can_repeat());
}

#[tokio::test]
async fn nothing_leaves_while_an_answer_is_judged_however_long() {
    let replay = Replay::new(stream(&["one"], false), 5, false);
    let mut body = replay.body(Duration::from_millis(1));
    replay.pause();
    let held = tokio::time::timeout(Duration::from_millis(50), body.frame()).await;
    assert!(held.is_err());
    replay.accept();
    assert_eq!(part(&mut body), "one");
    assert!(!replay.can_repeat(), "accepted: nothing is kept");
}

#[tokio::test]
async fn a_broken_body_is_not_repeated() {
    let frames = [
        Ok(Frame::data(Bytes::from_static(b"one"))),
        Err(std::io::Error::other("gone")),
    ];
    let replay = Replay::new(
        StreamBody::new(futures_util::stream::iter(frames)),
        100,
        false,
    );
    assert!(replay.body(LONG).collect().await.is_err());
    assert!(replay.is_broken() && !replay.can_repeat());
}

#[tokio::test]
async fn the_length_is_told_to_the_upstream() {
    let replay = Replay::new(Full::new(Bytes::from_static(b"onetwo")), 10, false);
    let mut body = replay.body(LONG);
    assert_eq!(body.size_hint().exact(), Some(6));
    assert_eq!(part(&mut body), "onetwo");
    assert!(body.is_end_stream());
    assert_eq!(replay.body(LONG).size_hint().exact(), Some(6));
}

#[tokio::test]
async fn a_sending_that_was_not_processed_does_not_count() {
    let replay = Replay::new(stream(&["ab", "cd", "ef"], true), 4, false);
    let mut lost = replay.body(LONG);
    assert_eq!(part(&mut lost), "ab");
    replay.lost();
    let mut body = replay.body(LONG);
    assert!(matches!(now(&mut lost), Poll::Ready(Some(Err(_)))));
    assert_eq!([part(&mut body), part(&mut body)], ["ab", "cd"]);
    // What cannot be kept is held back as in a first sending, for a refusal may still be healed.
    assert!(now(&mut body).is_pending() && replay.can_repeat());
    drop(body);
    assert_eq!(
        all(replay.body(LONG)).await,
        (Bytes::from_static(b"abcdef"), true)
    );
}

#[tokio::test]
async fn a_second_sending_that_outgrows_the_limit_cannot_be_repeated() {
    let replay = Replay::new(stream(&["ab", "cd", "ef"], false), 4, false);
    let mut first = replay.body(LONG);
    assert_eq!(part(&mut first), "ab");
    let mut second = replay.body(LONG);
    assert_eq!([part(&mut second), part(&mut second)], ["ab", "cd"]);
    assert!(replay.can_repeat());
    assert_eq!(part(&mut second), "ef");
    assert!(!replay.can_repeat());
}

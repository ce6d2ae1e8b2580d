//! `tenure classify`: JSON Lines in and out, and a response as it was pasted.

mod common;

use common::Home;

#[test]
fn one_line_out_for_each_line_in() {
    let home = Home::new();
    let file = home.path().join("lines.jsonl");
    std::fs::write(
        &file,
        "{\"id\":\"a\",\"where\":\"token\",\"status\":400,\"body\":\"{\\\"error\\\":\\\"invalid_grant\\\"}\"}\nnonsense\n\n{\"id\":\"b\",\"status\":429}\n",
    )
    .expect("a file");
    let ran = home.run(&["classify", file.to_str().expect("a path")]);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!((ran.code, lines.len()), (1, 3), "{}", ran.out);
    assert!(
        lines[0].contains("\"class\":\"refresh_invalid\""),
        "{}",
        lines[0]
    );
    assert!(
        lines[1].contains("\"line\":2") && lines[1].contains("not a JSON object"),
        "{}",
        lines[1]
    );
    assert!(
        lines[2].contains("\"class\":\"rate_limited\""),
        "{}",
        lines[2]
    );
}

#[test]
fn a_pasted_response_is_explained_without_its_tokens() {
    const CANARY: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLWNhbmFyeS0wMQ";
    let home = Home::new();
    let file = home.path().join("response.txt");
    let text = format!(
        "HTTP/2 401\r\ncontent-type: application/json\r\n\r\n{{\"message\":\"The token {CANARY} expired\"}}"
    );
    std::fs::write(&file, text).expect("a file");
    let path = file.to_str().expect("a path");
    for args in [
        vec!["classify", "--http", path],
        vec!["--json", "classify", "--http", path],
    ] {
        let ran = home.run(&args).ok();
        assert!(
            ran.out.contains("access_expired") && ran.out.contains("API02002"),
            "{}",
            ran.out
        );
        assert!(!ran.out.contains("eyJ"), "{}", ran.out);
    }
}

#[test]
fn a_secret_with_a_label_is_never_shown_however_short() {
    let home = Home::new();
    for said in [
        "Bearer zq9 was refused, token expired",
        "refused: X-Api-Key: zq9",
        "refused: Set-Cookie: sid=zq9; Path=/",
        "wrong password=zq9",
        "Refresh token rt_Zq9 for mail a@b.example is not known",
        "key AKIAZQ9IOSFODNN7EXAM is not known",
        "Cookie: s={\"refresh_token\":\"zq9;zq9=zq9; zq9\"}; Path=/",
        "set-cookie: {\"sid\":\"zq9=a;zq9\"}",
        "cookie: a=1; \"zq9;zq9",
        "Bearer zq9[masked]zq9",
        "X-Api-Key: [masked]zq9",
    ] {
        let body = serde_json::json!({ "error": "invalid_token", "error_description": said });
        let file = home.write("response.txt", &format!("HTTP/1.1 401 No\r\n\r\n{body}"));
        let path = file.to_str().expect("a path");
        for args in [
            &["classify", "--http", path][..],
            &["--json", "classify", "--http", path],
        ] {
            let ran = home.run(args).ok();
            assert!(ran.out.contains("[masked]"), "{said}: {}", ran.out);
            let shown = ran.out.to_ascii_lowercase();
            assert!(!shown.contains("zq9"), "{said}: {}", ran.out);
        }
    }
}

#[test]
fn what_was_pasted_badly_is_read_or_named() {
    let home = Home::new();
    let body = home.write("body.json", "{\"message\":\"jwt expired\"}");
    let path = body.to_str().expect("a path");
    let ran = home.run(&["classify", "--http", path]);
    assert!(ran.code != 0 && ran.err.contains("--status"), "{}", ran.err);
    let ran = home
        .run(&["classify", "--http", path, "--status", "401"])
        .ok();
    assert!(ran.out.contains("access_expired"), "{}", ran.out);
    let folder = home.path().to_str().expect("a path").to_owned();
    let ran = home.run(&["classify", &folder]);
    assert!(
        ran.code != 0 && ran.err.contains("is a directory"),
        "{}",
        ran.err
    );
}

#[test]
fn a_body_packed_with_gzip_is_unpacked() {
    // `{"message":"jwt expired"}` as gzip.
    const PACKED: &[u8] = &[
        31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 202, 77, 45, 46, 78, 76, 79, 85, 178, 82, 202,
        42, 47, 81, 72, 173, 40, 200, 44, 74, 77, 81, 170, 5, 0, 228, 169, 76, 142, 25, 0, 0, 0,
    ];
    let home = Home::new();
    let file = home.path().join("packed.txt");
    let head = b"HTTP/1.1 401 Unauthorized\r\ncontent-encoding: gzip\r\ncontent-type: application/json\r\n\r\n";
    std::fs::write(&file, [head, PACKED].concat()).expect("a file");
    let ran = home
        .run(&["classify", "--http", file.to_str().expect("a path")])
        .ok();
    assert!(ran.out.contains("access_expired"), "{}", ran.out);
}

#[test]
fn keys_that_are_misspelt_or_not_known_are_told_with_their_line() {
    let home = Home::new();
    let lines = "{\"status\":401}\n{\"status\":401,\"local\":{\"token_expired\":true}}\n{\"status\":401,\"local\":{\"token_expired\":true,\"acces_token_sent\":true}}\n{\"status\":401,\"headers\":[{\"name\":\"a\",\"valeu\":\"b\"}]}\n{\"status\":401,\"local\":{\"token_expired\":true}}\n";
    let ran = home.run_with(&["classify"], lines);
    assert_eq!(ran.code, 1, "{ran:?}");
    let told = "line 2: key `local.token_expired` is not known and was not heeded";
    assert_eq!(ran.err.matches("not heeded").count(), 1, "{}", ran.err);
    assert!(ran.err.contains(told), "{}", ran.err);
    let out: Vec<&str> = ran.out.lines().collect();
    for (line, says) in [
        (3, "did you mean `local.access_token_sent`?"),
        (4, "did you mean `headers[0].value`?"),
    ] {
        let said = out[line - 1];
        let number = format!("\"line\":{line}");
        assert!(said.contains(says) && said.contains(&number), "{said}");
    }
}

#[test]
fn of_several_failures_the_one_that_was_read_is_named() {
    let home = Home::new();
    home.write(
        "two.txt",
        "HTTP/1.1 401 Unauthorized\n\n{}\nHTTP/1.1 429 Too Many Requests\n\n{}\n",
    );
    let ran = home.run(&["--json", "classify", "--http", "two.txt"]).ok();
    assert_eq!(ran.json()["class"], "rate_limited");
    assert!(
        ran.err.contains("the last one (429) was read") && ran.err.contains("(401)"),
        "{ran:?}"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let home = Home::new();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = home.command(&["explain", "API02002"]);
    command.stdout(writer);
    drop(reader);
    let mut child = command.spawn().expect("it starts");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

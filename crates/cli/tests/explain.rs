//! `tenure explain`, `tenure docs build`, and the pages of codes on the admin address.

mod common;

use common::{Home, get, request};

#[test]
fn a_code_is_explained_in_both_languages() {
    let home = Home::new();
    let en = home.run(&["explain", "API02002"]).ok().out;
    assert!(en.starts_with("API02002 Token Expired\n"), "{en}");
    assert!(en.contains("How to fix"), "{en}");
    assert!(en.contains("more: tenure explain API02002 --all"), "{en}");
    let nl = home.run(&["explain", "2002", "--lang", "nl"]).ok().out;
    assert!(nl.starts_with("API02002 Token verlopen\n"), "{nl}");
    let all = home.run(&["explain", "API02002", "--all"]).ok().out;
    assert!(all.len() > en.len());
    let json = home.run(&["explain", "API02002", "--json"]).ok().json();
    assert_eq!(json["title"]["nl"], "Token verlopen");
    assert!(
        json["server_errors"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    );
    assert!(
        json["markdown"]
            .as_str()
            .is_some_and(|page| page.starts_with("# API02002"))
    );
}

#[test]
fn a_message_or_a_server_s_code_lists_what_it_can_mean() {
    let home = Home::new();
    let said = home
        .run(&["explain", "Signature", "verification", "failed"])
        .ok()
        .out;
    assert!(said.contains("API02022 Signing Key Changed"), "{said}");
    let json = home
        .run(&["explain", "jwt_auth_invalid_token", "--json"])
        .ok()
        .json();
    let found: Vec<&str> = json["found"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["code"].as_str().expect("a code"))
        .collect();
    for code in ["API02002", "API02022"] {
        assert!(found.contains(&code), "{code}: {found:?}");
    }
    // What tells them apart stands beside each.
    let because = &json["found"][0]["because"][0];
    assert!(
        because["answer"].is_string() && because["cause"].is_string(),
        "{because}"
    );
}

#[test]
fn what_is_not_known_is_said() {
    let home = Home::new();
    let ran = home.run(&["explain", "purple elephants"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.err.contains("purple elephants") && ran.err.contains("fix:"),
        "{}",
        ran.err
    );
    let ran = home.run(&["explain"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let ran = home.run(&["explain", "paarse olifanten", "--lang", "nl"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for part in [
        "fout: van \"paarse olifanten\" is niets bekend",
        "oplossing: probeer",
    ] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
}

#[test]
fn a_code_that_does_not_exist_leads_to_the_closest() {
    let home = Home::new();
    let ran = home.run(&["explain", "API99999"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for part in [
        "no code \"API99999\"",
        "API02999 Unrecognised Token Failure",
    ] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    let ran = home.run(&["explain", "api", "99999", "--lang", "nl"]);
    for part in ["er is geen code", "API02999 Onbekende tokenfout"] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    let found = home.run(&["explain", "API", "02002"]).ok().out;
    assert!(found.starts_with("API02002 Token Expired\n"), "{found}");
}

#[test]
fn what_is_no_failure_of_a_token_is_said() {
    let home = Home::new();
    let en = home.run(&["explain", "coupon", "expired"]).ok().out;
    assert!(
        en.contains("not a token failure") && !en.contains("API0"),
        "{en}"
    );
    let nl = home
        .run(&["explain", "coupon expired", "--lang", "nl"])
        .ok()
        .out;
    assert!(nl.contains("geen tokenfout"), "{nl}");
    let json = home
        .run(&["explain", "coupon expired", "--json"])
        .ok()
        .json();
    assert!(
        json["other"].is_string() && json["found"] == serde_json::json!([]),
        "{json}"
    );
    let both = home.run(&["explain", "404"]).ok().out;
    assert!(
        both.contains("not a token failure") && both.contains("API02021"),
        "{both}"
    );
}

#[test]
fn a_symptom_is_found_in_another_language_than_the_answer_s() {
    let home = Home::new();
    let en = home.run(&["explain", "ik word steeds uitgelogd"]).ok().out;
    assert!(en.contains("API02002 Token Expired"), "{en}");
    let nl = home
        .run(&["explain", "logged out after lunch", "--lang", "nl"])
        .ok()
        .out;
    assert!(nl.contains("API02009 Vernieuwingstoken verlopen"), "{nl}");
    assert!(
        nl.contains("na de pauze uitgelogd") && nl.contains("kan betekenen:"),
        "{nl}"
    );
}

#[test]
fn what_support_staff_types_leads_to_what_fits_and_in_one_language() {
    let home = Home::new();
    for (typed, first) in [
        ("I am logged out every night", "API02016"),
        ("logged out after password change", "API02014"),
        ("kan niet afrekenen", "API02002"),
        ("steeds uitgelogd", "API02002"),
    ] {
        let found = home.run(&["--json", "explain", typed]).ok().json();
        assert_eq!(found["found"][0]["code"], first, "{typed}");
    }
    let nl = home
        .run(&["explain", "AADSTS700082", "--lang", "nl"])
        .ok()
        .out;
    assert!(
        nl.contains("vernieuwingstoken te lang") && !nl.contains("refresh token idle"),
        "{nl}"
    );
    let page = home
        .run(&["explain", "API02009", "--all", "--lang", "nl"])
        .ok()
        .out;
    for english in ["refresh token expired", "What the words"] {
        assert!(!page.contains(english), "{english}: {page}");
    }
}

#[test]
fn the_site_is_written_and_reads_without_a_server() {
    let home = Home::new();
    let dir = home.path().join("site");
    let ran = home
        .run(&["docs", "build", dir.to_str().expect("UTF-8")])
        .ok();
    assert!(ran.out.contains("index.html"), "{}", ran.out);
    let page =
        std::fs::read_to_string(dir.join("nl/error-codes/API02009/index.html")).expect("a page");
    assert!(
        page.contains("<html lang=\"nl\">") && page.contains("<table>"),
        "{page}"
    );
    let codes: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(dir.join("codes.json")).expect("the list"))
            .expect("JSON");
    assert!(codes["codes"].as_array().is_some_and(|all| all.len() > 30));
    // Again, into what is there.
    home.run(&["docs", "build", dir.to_str().expect("UTF-8")])
        .ok();
    // Not into what is somebody else's.
    let other = home.write("other/notes.txt", "mine");
    let other = other.parent().expect("a directory");
    let build = ["docs", "build", other.to_str().expect("UTF-8")];
    let ran = home.run(&build);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.err.contains("not empty") && ran.err.contains("--force"),
        "{}",
        ran.err
    );
    assert!(!other.join("index.html").exists());
    home.run(&[&build[..], &["--force"]].concat()).ok();
    assert_eq!(
        std::fs::read_to_string(other.join("notes.txt")).expect("still there"),
        "mine"
    );
    let file = home.write("in-the-way", "");
    let ran = home.run(&["docs", "build", file.to_str().expect("UTF-8")]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("in-the-way"), "{}", ran.err);
}

#[test]
fn a_build_over_an_earlier_one_leaves_nothing_that_is_no_longer_made() {
    let home = Home::new();
    let dir = home.path().join("site");
    let build = ["docs", "build", dir.to_str().expect("UTF-8")];
    home.run(&build).ok();
    // As a build of another layout would have left it.
    for old in ["old/API02002.md", "error-codes/API02002/old.md", "outside"] {
        home.write(&format!("site/{old}"), "old");
    }
    let outside = home.write("outside", "mine");
    home.write("site/error-codes/API02002/notes.txt", "mine");
    let list = dir.join("site-files.json");
    let text = std::fs::read_to_string(&list).expect("the list");
    let mut made: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let files = made["files"].as_array_mut().expect("names");
    assert!(files.len() > 100, "{text}");
    for old in [
        "old/API02002.md",
        "error-codes/API02002/old.md",
        "../outside",
        "gone.md",
    ] {
        files.push(old.into());
    }
    for force in [&[][..], &["--force"]] {
        std::fs::write(&list, made.to_string()).expect("written");
        home.write("site/old/API02002.md", "old");
        home.run(&[&build[..], force].concat()).ok();
        for gone in ["old", "error-codes/API02002/old.md"] {
            assert!(!dir.join(gone).exists(), "{gone}");
        }
        let kept = [
            "error-codes/API02002/notes.txt",
            "outside",
            "error-codes/API02002.md",
        ];
        for kept in kept {
            assert!(dir.join(kept).exists(), "{kept}");
        }
        assert!(outside.exists());
        assert_eq!(std::fs::read_to_string(&list).expect("the list"), text);
    }
    // A build that left no list had Markdown beside its pages.
    std::fs::remove_file(&list).expect("removed");
    let old = home.write("site/nl/error-codes/API02002/API02002.md", "old");
    home.run(&[&build[..], &["--force"]].concat()).ok();
    assert!(!old.exists() && dir.join("nl/error-codes/API02002/index.html").exists());
}

#[test]
fn pages_are_served_in_both_languages_and_can_be_searched() {
    let home = Home::new();
    let up = home.up_example();
    let base = up.url("admin");
    let page = |path: &str| get(&format!("{base}{path}"));
    let index = page("/error-codes");
    assert_eq!(index.status, 200);
    assert!(
        index.body.contains("API02002 Token Expired"),
        "{}",
        index.body
    );
    assert!(!index.body.contains("<script"));
    let found = page("/error-codes?q=Signature+verification+failed");
    assert!(found.body.contains("It can mean"), "{}", found.body);
    let other = page("/error-codes?q=coupon+expired");
    assert!(other.body.contains("not a token failure"), "{}", other.body);
    let close = page("/nl/error-codes?q=API99999");
    assert!(close.body.contains("Er is geen code"), "{}", close.body);
    assert!(close.body.contains("API02999"), "{}", close.body);
    let hostile = page("/error-codes?q=%3Cscript%3Ealert(1)%3C/script%3E");
    assert!(!hostile.body.contains("<script"), "{}", hostile.body);
    let nl = page("/nl/error-codes/API02009");
    assert!(
        nl.body.contains("Vernieuwingstoken verlopen"),
        "{}",
        nl.body
    );
    assert!(
        nl.body.contains("href=\"/nl/error-codes/API02007\""),
        "{}",
        nl.body
    );
    let markdown = page("/error-codes/API02009.md");
    assert_eq!(
        markdown.header("content-type"),
        Some("text/markdown; charset=utf-8")
    );
    assert!(
        markdown.body.contains("AADSTS700082"),
        "the generated table"
    );
    let schema = page("/error-codes/failure.schema.json").json();
    let codes = schema["properties"]["code"]["enum"]
        .as_array()
        .expect("codes")
        .len();
    assert_eq!(
        page("/error-codes/codes.json").json()["codes"]
            .as_array()
            .map(Vec::len),
        Some(codes)
    );
    // The search is a form of the page: a browser asks this policy whether it may be sent.
    for path in [
        "/error-codes",
        "/nl/error-codes",
        "/nl/error-codes?q=x",
        "/nl/error-codes/API02009",
    ] {
        let policy = page(path);
        assert!(policy.body.contains("<form"), "{path}: {}", policy.body);
        let policy = policy.header("content-security-policy").expect("a policy");
        assert!(policy.contains("form-action 'self'"), "{path}: {policy}");
    }
    let policy = page("/");
    let policy = policy.header("content-security-policy").expect("a policy");
    assert!(policy.contains("form-action 'none'"), "{policy}");
    up.stop("TERM");
}

#[test]
fn an_address_that_is_nearly_right_leads_to_its_page() {
    let home = Home::new();
    let up = home.up_example();
    let base = up.url("admin");
    for (asked, leads) in [
        ("/error-codes/", "/error-codes"),
        ("/error-codes/?q=jwt+expired", "/error-codes?q=jwt+expired"),
        ("/nl/error-codes/", "/nl/error-codes"),
        ("/error-codes/api02002", "/error-codes/API02002"),
        ("/error-codes/Api02002.MD", "/error-codes/API02002.md"),
        ("/error-codes/API02002/", "/error-codes/API02002"),
        ("/nl/error-codes/api02002", "/nl/error-codes/API02002"),
        ("/nl/error-codes/api02002.md", "/nl/error-codes/API02002.md"),
        ("/error-codes/API02002.html", "/error-codes/API02002"),
        ("/error-codes/api02002/index.html", "/error-codes/API02002"),
        ("/error-codes/index.html", "/error-codes"),
        ("/nl/error-codes/index.html", "/nl/error-codes"),
        ("/nl", "/nl/error-codes"),
        ("/nl/", "/nl/error-codes"),
        ("/codes.json", "/error-codes/codes.json"),
        ("/failure.schema.json", "/error-codes/failure.schema.json"),
    ] {
        let answer = get(&format!("{base}{asked}"));
        assert_eq!(
            (answer.status, answer.header("location")),
            (308, Some(leads)),
            "{asked}"
        );
        assert_eq!(get(&format!("{base}{leads}")).status, 200, "{leads}");
    }
    for (path, says) in [
        ("/error-codes/API02992", "There is no code"),
        ("/nl/error-codes/API02992", "Er is geen code"),
        ("/error-codes/API02992/more", "There is no code"),
    ] {
        let url = format!("{base}{path}");
        let seen = request("GET", &url, &[("Accept", "text/html,*/*;q=0.8")], "");
        assert_eq!(seen.status, 404, "{seen:?}");
        for part in [says, "<form", "API02999"] {
            assert!(seen.body.contains(part), "{path}: {part}: {}", seen.body);
        }
        let policy = seen.header("content-security-policy").expect("a policy");
        assert!(policy.contains("form-action 'self'"), "{policy}");
        for accept in ["application/json", "application/problem+json", "*/*"] {
            let told = request("GET", &url, &[("Accept", accept)], "");
            assert_eq!(told.status, 404, "{told:?}");
            assert_eq!(
                told.header("content-type"),
                Some("application/problem+json")
            );
            let detail = told.json()["detail"].to_string();
            assert!(detail.contains("API02999"), "{detail}");
        }
    }
    let hostile = format!("{base}/error-codes/%3Cscript%3Ealert(1)%3C/script%3E");
    let hostile = request("GET", &hostile, &[("Accept", "text/html")], "");
    assert_eq!(hostile.status, 404);
    assert!(!hostile.body.contains("<script"), "{}", hostile.body);
    up.stop("TERM");
}

#[test]
fn links_of_markdown_pages_lead_to_markdown_pages() {
    let home = Home::new();
    let up = home.up_example();
    for base in ["/error-codes", "/nl/error-codes"] {
        let page = up.admin(&format!("{base}/API02009.md")).body;
        for link in page.split("](").skip(1) {
            let link = link.split(')').next().expect("a part");
            if !link.starts_with("https://") {
                let answer = up.admin(&format!("{base}/{link}"));
                assert_eq!(answer.status, 200, "{base}: {link}");
            }
        }
    }
    up.stop("TERM");
}

#[test]
fn the_local_api_classifies_as_the_command_does() {
    let home = Home::new();
    let up = home.up_example();
    let url = format!("{}/api/v1/classify", up.url("admin"));
    let line = r#"{"id":"a","where":"token","status":400,"body":"{\"error\":\"invalid_grant\",\"error_description\":\"AADSTS700082\"}"}"#;
    let one = request("POST", &url, &[], line);
    assert_eq!(one.status, 200, "{one:?}");
    let file = home.write("line.jsonl", line);
    let ran = home.run(&["classify", file.to_str().expect("UTF-8")]).ok();
    assert_eq!(one.json(), ran.json());
    assert_eq!(one.json()["code"], "API02009");
    let many = request("POST", &url, &[], &format!("{line}\nnonsense\n{line}\n"));
    let answers: Vec<&str> = many.body.lines().collect();
    assert_eq!(answers.len(), 3, "{many:?}");
    assert!(answers[1].contains("\"error\""), "{}", answers[1]);
    let bad = request("POST", &url, &[], r#"{"status":"no"}"#);
    assert_eq!(bad.status, 400, "{bad:?}");
    assert!(bad.body.contains("status"), "{}", bad.body);
    up.stop("TERM");
}

//! Which request gets which answer.

use serde_json::json;

use super::*;

fn site() -> Site {
    let document = || Some(Document { json: json!({ "a": 1 }), max_age: Duration::from_secs(300) });
    Site::new(vec![("/keys".to_owned(), Box::new(document)), ("/later".to_owned(), Box::new(|| None))])
}

fn ask(method: &Method, path: &str, known: Option<&str>) -> Response<Full<Bytes>> {
    let mut headers = HeaderMap::new();
    if let Some(known) = known {
        headers.insert(IF_NONE_MATCH, known.parse().unwrap());
    }
    site().answer(method, path, &headers)
}

#[test]
fn a_known_path_is_read_and_everything_else_refused() {
    let check = |method: Method, path: &str, wanted: u16| {
        assert_eq!(ask(&method, path, None).status().as_u16(), wanted, "{method} {path}");
    };
    check(Method::GET, "/keys", 200);
    check(Method::HEAD, "/keys", 200);
    check(Method::POST, "/keys", 405);
    check(Method::OPTIONS, "/keys", 405);
    check(Method::DELETE, "/nothing", 404);
    for path in ["/", "/keys/", "/KEYS", "/nothing", "//keys", "/keys/../keys", "/%6beys", "*", ""] {
        check(Method::GET, path, 404);
    }
    check(Method::GET, "/later", 503);
}

#[test]
fn a_document_says_what_it_is_how_long_it_is_good_and_which_version() {
    let answer = ask(&Method::GET, "/keys", None);
    let header = |name| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(
        (header("content-type"), header("cache-control")),
        ("application/json".into(), "public, max-age=300".into())
    );
    let tag = header("etag");
    for (known, wanted) in [
        (tag.clone(), 304),
        (format!("W/{tag}"), 304),
        (format!("\"x\", {tag}"), 304),
        ("*".to_owned(), 304),
        ("\"x\"".to_owned(), 200),
        (tag.trim_matches('"').to_owned(), 200),
    ] {
        assert_eq!(ask(&Method::GET, "/keys", Some(&known)).status().as_u16(), wanted, "{known}");
    }
    assert_eq!(ask(&Method::POST, "/keys", None).headers()["allow"], "GET, HEAD");
}

//! Links between our own documents lead somewhere, and documents tell of what lies beside them.

use std::collections::BTreeSet;

use crate::files::{self, File};
use crate::nothing_to_complain_about;

/// Where the certificate requests for tests are, and where they are explained.
const FIXTURES: &str = "certs/fixtures/";
const FIXTURES_README: &str = "certs/README.md";

fn dead_links(files: &[File]) -> Vec<String> {
    let places = places(files);
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.is("md")) {
        for target in targets(&file.text) {
            if !resolve(&file.path, target).is_some_and(|place| places.contains(&place)) {
                complaints.push(format!("{} links to `{target}`", file.path));
            }
        }
    }
    complaints
}

/// Every file, and every folder that holds one.
fn places(files: &[File]) -> BTreeSet<String> {
    let mut places = BTreeSet::from([String::new()]);
    for file in files {
        places.insert(file.path.clone());
        places.extend(file.path.match_indices('/').filter_map(|(at, _)| file.path.get(..at).map(str::to_owned)));
    }
    places
}

/// What a document links to inside the project, outside code.
fn targets(text: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            let prose = line.split('`').step_by(2);
            let inline = prose.flat_map(|part| part.split("](").skip(1));
            targets.extend(inline.filter_map(|rest| rest.split([')', ' ']).next()));
            let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
            targets.extend(definition.map(|(_, target)| target.trim()));
        }
    }
    let outside = |target: &&str| target.contains("://") || target.starts_with("mailto:") || target.starts_with('#');
    targets.retain(|target| !outside(target));
    targets
}

/// The place that `target` means in the document at `path`; nothing outside the project.
fn resolve(path: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('#').next()?.trim_end_matches('/').split('/') {
        match part {
            "" => return None,
            "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

fn fixtures_without_a_word(files: &[File]) -> Vec<String> {
    let readme = files.iter().find(|file| file.path == FIXTURES_README);
    let readme = readme.map_or("", |file| file.text.as_str());
    let fixtures = files.iter().filter_map(|file| file.path.strip_prefix("certs/"));
    let silent = fixtures.filter(|path| format!("certs/{path}").starts_with(FIXTURES));
    silent.filter(|path| !readme.contains(&format!("({path})"))).map(str::to_owned).collect()
}

#[test]
fn every_link_between_our_documents_leads_somewhere() {
    nothing_to_complain_about(&dead_links(&files::all()));
}

#[test]
fn a_link_that_leads_nowhere_is_told() {
    let text = "\
[a](../a.rs) [folder](../src/) [part](b.md#part) [self](#part) [web](https://example.org/x)
[gone](gone.md) [out](../../x) [root](/docs/b.md)
`[code](code.md)`
```
[fenced](fenced.md)
```
[ref]: also-gone.md
";
    let files = [File::new("a.rs", ""), File::new("src/lib.rs", ""), File::new("docs/b.md", text)];

    let told = ["gone.md", "../../x", "/docs/b.md", "also-gone.md"];
    assert_eq!(dead_links(&files), told.map(|to| format!("docs/b.md links to `{to}`")));
}

#[test]
fn every_fixture_is_explained() {
    nothing_to_complain_about(&fixtures_without_a_word(&files::all()));
}

#[test]
fn a_fixture_that_nobody_explains_is_told() {
    let files = [
        File::new(FIXTURES_README, "| [`good`](fixtures/csr/good.pem) | good |\n"),
        File::new("certs/fixtures/csr/good.pem", ""),
        File::new("certs/fixtures/csr/odd.pem", ""),
    ];

    assert_eq!(fixtures_without_a_word(&files), ["fixtures/csr/odd.pem"]);
}

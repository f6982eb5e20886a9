//! Which rooms may know each other.

use crate::graph::{Graph, Kind};
use crate::nothing_to_complain_about;

/// Each room and the rooms it may import. `ca` and `sds-agent` meet on the wire only.
const ARROWS: [(&str, &[&str]); 12] = [
    ("signet-identity", &[]),
    ("signet-proto", &[]),
    ("signet-proto-envoy", &[]),
    ("signet-runtime", &[]),
    ("signet-kubernetes", &["signet-runtime"]),
    ("signet-policy", &["signet-identity", "signet-proto-envoy"]),
    ("signet-ca", &["signet-identity", "signet-kubernetes", "signet-proto", "signet-runtime"]),
    (
        "sds-agent",
        &[
            "signet-identity",
            "signet-kubernetes",
            "signet-policy",
            "signet-proto",
            "signet-proto-envoy",
            "signet-runtime",
        ],
    ),
    (
        "signet",
        &[
            "sds-agent",
            "signet-ca",
            "signet-identity",
            "signet-policy",
            "signet-proto",
            "signet-proto-envoy",
            "signet-runtime",
        ],
    ),
    ("signet-testkit", &["signet-identity"]),
    ("signet-kube-standin", &["signet-identity", "signet-runtime", "signet-testkit"]),
    ("xtask", &[]),
];

/// May import every room.
const KNOWS_ALL: &str = "signet-tests";
/// Any room may use them in its tests.
const FOR_TESTS: [&str; 2] = ["signet-kube-standin", "signet-testkit"];

/// One room imports another.
struct Arrow<'a> {
    from: &'a str,
    to: &'a str,
    kind: Kind,
}

fn complaints(rooms: &[&str], arrows: &[Arrow<'_>]) -> Vec<String> {
    let row = |room: &str| ARROWS.iter().find(|(name, _)| *name == room).map(|(_, to)| *to);
    let unknown = rooms.iter().filter(|room| **room != KNOWS_ALL && row(room).is_none());
    let unknown = unknown.map(|room| format!("`{room}` has no row in the table of arrows"));
    let allowed = |arrow: &Arrow<'_>| {
        arrow.from == KNOWS_ALL
            || row(arrow.from).is_some_and(|to| to.contains(&arrow.to))
            || (arrow.kind == Kind::Dev && FOR_TESTS.contains(&arrow.to))
    };
    let forbidden = arrows.iter().filter(|arrow| !allowed(arrow));
    let forbidden = forbidden.map(|Arrow { from, to, kind }| format!("`{from}` imports `{to}` ({kind:?})"));
    unknown.chain(forbidden).collect()
}

#[test]
fn rooms_import_only_the_rooms_they_may_know() {
    let graph = Graph::load();
    let name = |id: &String| graph.packages[id].name.as_str();
    let rooms: Vec<&str> = graph.members.iter().map(name).collect();
    let arrows = graph.members.iter().flat_map(|from| {
        let inside = graph.edges[from].iter().filter(|(to, _)| graph.members.contains(to));
        inside.map(|(to, kind)| Arrow { from: name(from), to: name(to), kind: *kind })
    });
    let arrows: Vec<Arrow<'_>> = arrows.collect();

    assert!(arrows.len() > 5, "the graph has no arrows to judge");
    nothing_to_complain_about(&complaints(&rooms, &arrows));
}

#[test]
fn a_forbidden_arrow_and_an_unknown_room_are_told() {
    let arrow = |from, to, kind| Arrow { from, to, kind };
    let found = complaints(
        &["signet-ca", "cellar", KNOWS_ALL],
        &[
            arrow("signet-ca", "signet-identity", Kind::Normal),
            arrow("signet-ca", "signet-kube-standin", Kind::Dev),
            arrow(KNOWS_ALL, "signet-ca", Kind::Normal),
            arrow("signet-ca", "signet-testkit", Kind::Normal),
            arrow("signet-ca", "sds-agent", Kind::Dev),
            arrow("signet-identity", "signet-runtime", Kind::Build),
        ],
    );

    assert_eq!(
        found,
        [
            "`cellar` has no row in the table of arrows",
            "`signet-ca` imports `signet-testkit` (Normal)",
            "`signet-ca` imports `sds-agent` (Dev)",
            "`signet-identity` imports `signet-runtime` (Build)",
        ]
    );
}

//! Manifests: no text makes the reader panic, and what was read is printed as something that is read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_policy::model::World;
use signet_policy::{ReadOptions, Sources, read};

fn world(texts: &[String]) -> Option<World> {
    let mut sources = Sources::new();
    for text in texts {
        sources.add("a", text);
    }
    read(&sources, &ReadOptions::default()).into_world().ok()
}

fn printed(world: &World) -> Vec<String> {
    let authorization = world.authorization.iter().map(|policy| policy.to_manifest().to_string());
    let peer = world.peer.iter().map(|policy| policy.to_manifest().to_string());
    authorization.chain(peer).chain(world.request.iter().map(|policy| policy.to_manifest().to_string())).collect()
}

fuzz_target!(|text: &str| {
    let Some(first) = world(&[text.to_owned()]) else { return };
    let first = printed(&first);
    let second = world(&first).expect("what was printed is read");
    assert_eq!(printed(&second), first);
});

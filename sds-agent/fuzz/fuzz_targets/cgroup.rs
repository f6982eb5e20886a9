//! Control groups of a process: no content makes the reader panic, and a pod that is found is named in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sds_agent::node::cgroup;

fuzz_target!(|content: &str| {
    if let Ok(owner) = cgroup::owner(content) {
        let named = content.to_ascii_lowercase().replace('_', "-");
        assert!(named.contains(&format!("pod{}", owner.pod)), "{content}");
        assert!(owner.container.is_none_or(|id| content.contains(id.as_str())));
    }
});

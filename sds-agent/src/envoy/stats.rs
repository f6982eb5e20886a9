//! What Envoy's statistics say, in its own plain text. Pure.

/// Which statistics tell whether Envoy serves what it was told to.
pub const SERVING: &str = "/stats?filter=(cds%7Clds)%5C.update_(success%7Crejected)$%7Cworkers_started$";

/// Which statistics tell how many connections there are.
pub const CONNECTIONS: &str = "/stats?usedonly&filter=downstream_cx_active$";

/// Beginnings of the names of listeners whose connections nobody waits for.
const NOT_COUNTED: [&str; 2] = ["listener.admin.", "listener.envoy_internal_"];

/// Ends of the names of listeners whose connections nobody waits for: readiness and statistics.
const NOT_COUNTED_PORTS: [&str; 2] = ["_15021", "_15090"];

fn values(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (name, value) = line.rsplit_once(": ")?;
        Some((name, value.trim().parse().ok()?))
    })
}

/// Why Envoy does not serve yet what it was told to, if so. One that is not told by discovery has nothing to wait for.
pub fn lacking(text: &str) -> Option<String> {
    let value = |name: &str| values(text).find(|(known, _)| *known == name).map(|(_, value)| value);
    for (what, prefix) in [("clusters", "cluster_manager.cds"), ("listeners", "listener_manager.lds")] {
        if value(&format!("{prefix}.update_success")) == Some(0) {
            let rejected = value(&format!("{prefix}.update_rejected")).unwrap_or(0);
            return Some(format!("has taken no {what} yet, and rejected them {rejected} times"));
        }
    }
    (value("listener_manager.workers_started") != Some(1)).then(|| "has not started its workers".to_owned())
}

/// How many connections are open that somebody may still need.
pub fn connections(text: &str) -> u64 {
    let counted = values(text).filter(|(name, _)| {
        let listener = name.strip_suffix(".downstream_cx_active").unwrap_or_default();
        name.starts_with("listener.")
            && !name.contains(".worker_")
            && !NOT_COUNTED.iter().any(|prefix| name.starts_with(prefix))
            && !NOT_COUNTED_PORTS.iter().any(|port| listener.ends_with(port))
    });
    counted.fold(0, |sum, (_, value)| sum.saturating_add(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_envoy_serves_when_its_workers_run_and_every_kind_of_discovery_has_brought_something() {
        let check = |text: &str, why: Option<&str>| assert_eq!(lacking(text).as_deref(), why, "{text}");
        check("listener_manager.workers_started: 1\n", None);
        check("listener_manager.workers_started: 0\n", Some("has not started its workers"));
        check("", Some("has not started its workers"));
        let workers = "listener_manager.workers_started: 1\n";
        let told = |cds: u64, lds: u64| {
            format!(
                "cluster_manager.cds.update_success: {cds}\ncluster_manager.cds.update_rejected: 0\n\
                 listener_manager.lds.update_success: {lds}\nlistener_manager.lds.update_rejected: 2\n{workers}"
            )
        };
        check(&told(1, 1), None);
        check(&told(0, 1), Some("has taken no clusters yet, and rejected them 0 times"));
        check(&told(1, 0), Some("has taken no listeners yet, and rejected them 2 times"));
    }

    #[test]
    fn only_connections_that_somebody_may_need_are_counted() {
        let text = "listener.0.0.0.0_8443.downstream_cx_active: 2\n\
                    listener.0.0.0.0_8443.worker_0.downstream_cx_active: 2\n\
                    listener.[__]_8080.downstream_cx_active: 1\n\
                    listener.admin.downstream_cx_active: 1\n\
                    listener.0.0.0.0_15021.downstream_cx_active: 1\n\
                    listener.0.0.0.0_15090.downstream_cx_active: 1\n\
                    listener.envoy_internal_connect_originate.downstream_cx_active: 1\n\
                    http.inbound.downstream_cx_active: 5\n\
                    listener.bad.downstream_cx_active: many\n";
        assert_eq!(connections(text), 3);
        assert_eq!(connections(""), 0);
    }

    proptest! {
        #[test]
        fn no_text_makes_them_panic(text in "(listener\\.|_15021|\\.downstream_cx_active|: |[0-9]|\n|.){0,40}") {
            connections(&text);
            lacking(&text);
        }
    }
}

//! What was measured, as a table for people and as JSON.

use std::fmt;

use serde_json::json;

use crate::STREAMS;

/// Aims: milliseconds to the first secret, MiB when idle, cost of streams against a bare server.
const START_AIM_MS: f64 = 50.0;
const IDLE_AIM_MIB: f64 = 12.0;
const RATIO_AIM: f64 = 1.5;

/// Memory with streams, beside a bare server's.
pub(crate) struct Comparison {
    pub(crate) agent_mib: f64,
    pub(crate) agent_growth_mib: f64,
    pub(crate) bare_mib: f64,
    pub(crate) bare_growth_mib: f64,
}

impl Comparison {
    fn ratio(&self) -> f64 {
        self.agent_growth_mib / self.bare_growth_mib
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "agent_rss_mib": self.agent_mib,
            "agent_growth_mib": self.agent_growth_mib,
            "bare_rss_mib": self.bare_mib,
            "bare_growth_mib": self.bare_growth_mib,
            "ratio": self.ratio(),
        })
    }
}

pub(crate) struct Figures {
    pub(crate) starts: Vec<f64>,
    pub(crate) idle_mib: f64,
    pub(crate) small: Comparison,
    pub(crate) envoy: Comparison,
}

impl Figures {
    pub(crate) fn json(&self) -> serde_json::Value {
        json!({
            "bench": "agent",
            "exec_to_first_secret_ms": {
                "median": median(&self.starts),
                "max": self.starts.iter().copied().fold(0.0, f64::max),
                "runs": self.starts.len(),
            },
            "rss_idle_mib": self.idle_mib,
            "streams": STREAMS,
            "idle_streams": self.small.json(),
            "idle_streams_with_envoy_sized_nodes": self.envoy.json(),
        })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, worst) = (median(&self.starts), self.starts.iter().copied().fold(0.0, f64::max));
        writeln!(f, "{:<46} {:>10} {:>10} {:>7} {:>8}", "", "agent", "bare", "ratio", "aim")?;
        let row = |f: &mut fmt::Formatter<'_>, what: &str, agent: String, bare: String, ratio: String, aim: String| {
            writeln!(f, "{what:<46} {agent:>10} {bare:>10} {ratio:>7} {aim:>8}")
        };
        let none = String::new;
        let aim = format!("< {START_AIM_MS}");
        row(f, "exec to first secret, ms (median)", format!("{start:.1}"), none(), none(), aim)?;
        row(f, "exec to first secret, ms (worst)", format!("{worst:.1}"), none(), none(), none())?;
        let aim = format!("< {IDLE_AIM_MIB}");
        row(f, "resident when idle, MiB", format!("{:.2}", self.idle_mib), none(), none(), aim)?;
        for (what, streams) in [("", &self.small), (", 61 kB nodes", &self.envoy)] {
            let (agent, bare) = (format!("{:.2}", streams.agent_mib), format!("{:.2}", streams.bare_mib));
            row(f, &format!("resident with {STREAMS} streams{what}, MiB"), agent, bare, none(), none())?;
            let agent = format!("{:.2}", streams.agent_growth_mib);
            let bare = format!("{:.2}", streams.bare_growth_mib);
            let (ratio, aim) = (format!("{:.2}", streams.ratio()), format!("<= {RATIO_AIM}"));
            row(f, &format!("cost of {STREAMS} streams{what}, MiB"), agent, bare, ratio, aim)?;
        }
        Ok(())
    }
}

/// The middle of `values`; of an even number the upper one.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

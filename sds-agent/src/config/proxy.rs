//! The section of the settings about the Envoy that the agent starts and watches over. `sds-agent run` does not use it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use signet_runtime::Reader;
use signet_runtime::config::{FromSetting, Value};

/// Longest drain that may be asked for.
const DRAIN_MAX: Duration = Duration::from_secs(24 * 3600);

/// Shortest silence that may count as hung: a busy machine is silent for seconds.
const HUNG_MIN: Duration = Duration::from_secs(10);

/// Most restarts in a row that may be asked for.
const RESTARTS_MAX: u64 = 1000;

/// Longest path of a Unix socket, in bytes.
const SOCKET_PATH_MAX: usize = 107;

/// The Envoy that the agent starts and watches over.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// Its program, looked for on the path when it names no directory.
    pub envoy: PathBuf,
    /// The file that its bootstrap is made from; the built-in one when unset.
    pub template: Option<PathBuf>,
    /// Where its bootstrap is written.
    pub bootstrap: PathBuf,
    /// Where its admin interface listens.
    pub admin: AdminAddress,
    /// What the built-in bootstrap takes mutual TLS for, if anything.
    pub inbound: Option<Inbound>,
    /// The pod's or machine's own address.
    pub instance_ip: IpAddr,
    /// The pod's or machine's own name.
    pub pod_name: String,
    /// How its end begins.
    pub drain: DrainConfig,
    /// Whether it is started again after a failure.
    pub restart: Restart,
    /// How often in a row.
    pub restarts_max: u32,
    /// The silence of its admin interface after which it is killed, if ever.
    pub hung_after: Option<Duration>,
    /// Where the kubelet asks for readiness, if anywhere beside `admin.listen`.
    pub ready_listen: Option<SocketAddr>,
}

/// Mutual TLS on behalf of a program that does not speak it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inbound {
    /// Where Envoy listens.
    pub listen: SocketAddr,
    /// Where the program does.
    pub application: SocketAddr,
}

/// How the end of an Envoy begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainConfig {
    /// How long it drains before it is told to end.
    pub time: Duration,
    /// Whether the end of the last connection ends the drain, in place of `time`.
    pub until_idle: bool,
    /// How long it drains at least then.
    pub min: Duration,
    /// How long it drains at most then.
    pub max: Duration,
}

/// Whether an Envoy that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// No: whoever started us sees its status.
    Never,
    /// Yes, when it failed.
    OnFailure,
}

/// Why a text is not the value that a setting wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyValueError {
    /// Not an admin address.
    #[error(
        "`{0}` is neither `host:port` with numbers, such as 127.0.0.1:15000, nor `unix:` and at most {SOCKET_PATH_MAX} bytes of path"
    )]
    Admin(String),
    /// Not a restart policy.
    #[error("`{0}` is neither `never` nor `on-failure`")]
    Restart(String),
    /// Not a place to listen.
    #[error("`{0}` is neither an address with port, nor a port, nor `none`")]
    Listen(String),
}

/// Where Envoy's admin interface listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddress {
    /// On a port.
    Tcp(SocketAddr),
    /// On a Unix socket.
    Unix(PathBuf),
}

impl FromStr for AdminAddress {
    type Err = ProxyValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ProxyValueError::Admin(text.to_owned());
        match text.strip_prefix("unix:") {
            Some(path) if (1..=SOCKET_PATH_MAX).contains(&path.len()) => Ok(Self::Unix(PathBuf::from(path))),
            Some(_) => Err(refused()),
            None => text.parse().map(Self::Tcp).map_err(|_| refused()),
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Restart {
    type Err = ProxyValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "never" => Ok(Self::Never),
            "on-failure" => Ok(Self::OnFailure),
            other => Err(ProxyValueError::Restart(other.to_owned())),
        }
    }
}

/// A place to listen, or none.
struct Listen(Option<SocketAddr>);

impl FromStr for Listen {
    type Err = ProxyValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let port = text.parse().map(|port: u16| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
        match text {
            "none" => Ok(Self(None)),
            _ => port
                .or_else(|_| text.parse())
                .map(|at| Self(Some(at)))
                .map_err(|_| ProxyValueError::Listen(text.to_owned())),
        }
    }
}

/// A span of time. A bare number counts seconds, as in the variables that Istio's users set.
struct Span(Duration);

impl FromSetting for Span {
    const WANTED: &'static str = "a duration such as 500ms, 30s or 2m, or a number of seconds";

    fn from_setting(value: &Value) -> Option<Self> {
        let seconds = match value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Text(text) => text.parse().ok(),
            _ => None,
        };
        seconds.map(Duration::from_secs).or_else(|| Duration::from_setting(value)).map(Self)
    }
}

/// The same, or never.
struct SpanOrNever(Option<Duration>);

impl FromSetting for SpanOrNever {
    const WANTED: &'static str = "a duration such as 30s or 2m, or `never`";

    fn from_setting(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) if text == "never" => Some(Self(None)),
            other => Span::from_setting(other).map(|span| Self(Some(span.0))),
        }
    }
}

/// Reads the section. `None` only after a problem.
pub(super) fn proxy(reader: &mut Reader, root: &Path) -> Option<ProxyConfig> {
    let envoy = reader.or("proxy.envoy", "envoy");
    let template = reader.optional("proxy.template");
    let bootstrap = super::path(reader, "proxy.bootstrap", root, "etc/istio/proxy/envoy-rev.json");
    let admin = reader.parsed_or("proxy.admin", "127.0.0.1:15000");
    let inbound = inbound(reader);
    let instance_ip = reader.parsed_or("proxy.instance_ip", "127.0.0.1");
    let pod_name = reader.or("proxy.pod_name", "sds-agent");
    let drain = drain(reader);
    let restart = reader.parsed_or("proxy.restart", "never");
    let restarts_max = restarts_max(reader);
    let hung_after = hung_after(reader);
    let ready_listen = reader.parsed_or::<Listen>("proxy.ready_listen", "0.0.0.0:15021");
    Some(ProxyConfig {
        envoy: envoy?,
        template,
        bootstrap: bootstrap?,
        admin: admin?,
        inbound: inbound?,
        instance_ip: instance_ip?,
        pod_name: pod_name?,
        drain: drain?,
        restart: restart?,
        restarts_max: restarts_max?,
        hung_after: hung_after?,
        ready_listen: ready_listen?.0,
    })
}

/// `Some(None)` when there is none.
fn inbound(reader: &mut Reader) -> Option<Option<Inbound>> {
    let listen = reader.optional("proxy.inbound");
    let application = reader.optional("proxy.application");
    match (listen, application) {
        (Some(listen), Some(application)) => Some(Some(Inbound { listen, application })),
        (None, None) => Some(None),
        (Some(_), None) => {
            reader.refuse("proxy.inbound", "needs `proxy.application` beside it");
            None
        }
        (None, Some(_)) => {
            reader.refuse("proxy.application", "needs `proxy.inbound` beside it");
            None
        }
    }
}

fn drain(reader: &mut Reader) -> Option<DrainConfig> {
    let time = span(reader, "proxy.drain", "5s");
    let until_idle = reader.or("proxy.drain_until_idle", "false");
    let min = span(reader, "proxy.drain_min", "5s");
    let max = span(reader, "proxy.drain_max", "1h");
    if min.zip(max).is_some_and(|(min, max)| min > max) {
        reader.refuse("proxy.drain_max", "is shorter than `proxy.drain_min`");
    }
    Some(DrainConfig { time: time?, until_idle: until_idle?, min: min?, max: max? })
}

fn span(reader: &mut Reader, key: &str, default: &str) -> Option<Duration> {
    let Span(span) = reader.or(key, default)?;
    if span <= DRAIN_MAX {
        return Some(span);
    }
    reader.refuse(key, format!("`{span:?}` is longer than {DRAIN_MAX:?}"));
    None
}

fn restarts_max(reader: &mut Reader) -> Option<u32> {
    let count: u64 = reader.or("proxy.restarts_max", "5")?;
    if (1..=RESTARTS_MAX).contains(&count) {
        return u32::try_from(count).ok();
    }
    reader.refuse("proxy.restarts_max", format!("`{count}` is out of bounds, 1 to {RESTARTS_MAX} are accepted"));
    None
}

/// `Some(None)` for never.
fn hung_after(reader: &mut Reader) -> Option<Option<Duration>> {
    let SpanOrNever(span) = reader.or("proxy.hung_after", "2m")?;
    if span.is_none_or(|span| (HUNG_MIN..=DRAIN_MAX).contains(&span)) {
        return Some(span);
    }
    reader.refuse("proxy.hung_after", format!("must be `never` or between {HUNG_MIN:?} and {DRAIN_MAX:?}"));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, shown: Option<&str>) {
        assert_eq!(text.parse::<AdminAddress>().ok().map(|address| address.to_string()).as_deref(), shown, "{text}");
    }

    #[test]
    fn envoys_admin_interface_is_on_a_port_or_a_socket() {
        check("127.0.0.1:15000", Some("127.0.0.1:15000"));
        check("[::1]:15000", Some("[::1]:15000"));
        check("unix:run/admin.sock", Some("unix:run/admin.sock"));
        check("localhost:15000", None);
        check("unix:", None);
        check(&format!("unix:{}", "s".repeat(108)), None);
    }

    #[test]
    fn a_span_is_a_duration_or_a_number_of_seconds() {
        let read = |value: Value| Span::from_setting(&value).map(|span| span.0.as_millis());
        assert_eq!(read(Value::Text("5".to_owned())), Some(5000));
        assert_eq!(read(Value::Integer(7)), Some(7000));
        assert_eq!(read(Value::Text("250ms".to_owned())), Some(250));
        assert_eq!(read(Value::Integer(-1)), None);
        assert_eq!(read(Value::Text("soon".to_owned())), None);
    }

    #[test]
    fn a_place_to_listen_may_be_a_port_alone_or_none() {
        let read = |text: &str| text.parse::<Listen>().map(|listen| listen.0.map(|at| at.to_string()));
        assert_eq!(read("none"), Ok(None));
        assert_eq!(read("15021"), Ok(Some("0.0.0.0:15021".to_owned())));
        assert_eq!(read("[::]:15021"), Ok(Some("[::]:15021".to_owned())));
        assert!(read("here").is_err());
    }
}

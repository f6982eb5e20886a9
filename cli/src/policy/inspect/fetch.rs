//! Where a dump comes from: a file, stdin, or a proxy's admin interface.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::http::{self, Bounds};
use crate::policy::files;

/// Longest dump, in bytes: ten thousand routes with rules of their own have a quarter of it.
const DUMP_MAX_BYTES: usize = 64 * 1024 * 1024;
/// How long a proxy may take to tell all that.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// What is asked for, of Envoy and of ztunnel: everything but endpoints.
const PATH: &str = "/config_dump";

/// The dump's text, or why there is none.
pub(super) async fn dump(file: Option<&Path>, admin: Option<&str>) -> Result<String, String> {
    let (name, text) = match (file, admin) {
        (Some(file), _) => (file.display().to_string(), from_file(file).map_err(|error| error.to_string())),
        (None, Some(admin)) => (admin.to_owned(), from_admin(admin).await),
        (None, None) => return Err("no dump is named".to_owned()),
    };
    let text = text.map_err(|error| format!("cannot read `{name}`: {error}"))?;
    if text.len() > DUMP_MAX_BYTES {
        return Err(format!("cannot read `{name}`: more than {DUMP_MAX_BYTES} bytes"));
    }
    Ok(text)
}

fn from_file(file: &Path) -> io::Result<String> {
    if file.as_os_str() == "-" {
        return files::text(io::stdin().lock(), DUMP_MAX_BYTES);
    }
    files::text(File::open(file)?, DUMP_MAX_BYTES)
}

async fn from_admin(admin: &str) -> Result<String, String> {
    let bounds = Bounds { time: ANSWER_MAX, body_bytes: DUMP_MAX_BYTES };
    let answer = match admin.strip_prefix("http://") {
        Some(rest) => {
            let host = rest.trim_end_matches('/');
            http::get_host(host, host, PATH, bounds).await
        }
        None if admin.contains("://") => {
            return Err("only `http://HOST:PORT` and paths of sockets are known".to_owned());
        }
        None => http::get_unix_within(Path::new(admin), PATH, bounds).await,
    };
    let answer = answer?;
    if answer.status == 200 { Ok(answer.body) } else { Err(format!("it answered with {}", answer.status)) }
}

//! What is issued for: an issuer's key set, tokens, requests by distinct keys.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use signet_ca::cli::DAEMON;
use signet_ca::config::CaConfig;
use signet_identity::{PrivateKey, SpiffeId, Timestamp, csr};
use signet_runtime::Clock;
use signet_testkit::{TempDir, TokenIssuer, temp_dir};

/// Distinct callers; more than a cache could flatter.
const CALLERS: usize = 256;

const TOKEN_TTL: Duration = Duration::from_secs(12 * 3600);

/// One caller's credential and request.
pub(crate) struct Caller {
    pub(crate) token: String,
    pub(crate) csr_pem: String,
}

pub(crate) struct Material {
    dir: TempDir,
    pub(crate) issuer: TokenIssuer,
    pub(crate) callers: Vec<Caller>,
}

impl Material {
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let (dir, issuer) = (temp_dir(), TokenIssuer::rs256());
        fs::write(dir.path().join("jwks.json"), issuer.jwks_json())?;
        let callers = (0..CALLERS).map(|number| caller(&issuer, &format!("web-{number}"))).collect::<Result<_, _>>()?;
        Ok(Self { dir, issuer, callers })
    }

    /// A directory of its own for whatever is called `name`.
    pub(crate) fn dir(&self, name: &str) -> io::Result<PathBuf> {
        let dir = self.dir.path().join(name);
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// Callers that no server has seen yet.
    pub(crate) fn agents(&self, count: usize) -> Result<Vec<Caller>, Box<dyn Error>> {
        (0..count).map(|number| caller(&self.issuer, &format!("agent-{number}"))).collect()
    }

    /// Settings of a server that keeps everything in `dir`.
    pub(crate) fn settings(&self, dir: &Path) -> Vec<(&'static str, String)> {
        let path = |path: PathBuf| path.to_string_lossy().into_owned();
        vec![
            ("listen", "127.0.0.1:0".to_owned()),
            ("admin.listen", "127.0.0.1:0".to_owned()),
            ("tokens.issuer", self.issuer.issuer().to_owned()),
            ("tokens.jwks_file", path(self.dir.path().join("jwks.json"))),
            ("authority.state_dir", path(dir.join("state"))),
            // A few callers stand for very many.
            ("admission.holder_burst", "0".to_owned()),
        ]
    }

    /// The same, read as the program reads them.
    pub(crate) fn config(&self, dir: &Path) -> Result<CaConfig, Box<dyn Error>> {
        let words = ["signet-ca", "run"].map(str::to_owned).into_iter();
        let flags = self.settings(dir).into_iter().flat_map(|(key, value)| [format!("--{key}"), value]);
        let matches = DAEMON.command().try_get_matches_from(words.chain(flags))?;
        let run = matches.subcommand_matches("run").ok_or("there is no verb `run`")?;
        Ok(CaConfig::read(DAEMON.layers(run, |_| None))?.0)
    }
}

fn caller(issuer: &TokenIssuer, account: &str) -> Result<Caller, Box<dyn Error>> {
    let id: SpiffeId = format!("spiffe://cluster.local/ns/shop/sa/{account}").parse()?;
    let csr_pem = csr::create(&PrivateKey::generate_p256()?, &id)?;
    let now = Timestamp::from(Clock::system().now());
    Ok(Caller { token: issuer.token("shop", account, now, TOKEN_TTL), csr_pem })
}

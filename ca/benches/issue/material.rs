//! What is issued for: an issuer's key set, tokens, requests by distinct keys.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
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
        let now = Timestamp::from(Clock::system().now());
        let caller = |number: usize| -> Result<Caller, Box<dyn Error>> {
            let account = format!("web-{number}");
            let id: SpiffeId = format!("spiffe://cluster.local/ns/shop/sa/{account}").parse()?;
            let csr_pem = csr::create(&PrivateKey::generate_p256()?, &id)?;
            Ok(Caller { token: issuer.token("shop", &account, now, TOKEN_TTL), csr_pem })
        };
        let callers = (0..CALLERS).map(caller).collect::<Result<_, _>>()?;
        Ok(Self { dir, issuer, callers })
    }

    /// Where a server keeps its root.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Settings as an operator would write them.
    pub(crate) fn config(&self) -> Result<CaConfig, Box<dyn Error>> {
        let setting = |key: &str, value: &str| [format!("--{key}"), value.to_owned()];
        let path = |path: PathBuf| path.to_string_lossy().into_owned();
        let words = ["signet-ca", "run"].map(str::to_owned).into_iter();
        let settings = [
            setting("listen", "127.0.0.1:0"),
            setting("admin.listen", "127.0.0.1:0"),
            setting("tokens.issuer", self.issuer.issuer()),
            setting("tokens.jwks_file", &path(self.dir.path().join("jwks.json"))),
            setting("authority.state_dir", &path(self.state_dir())),
        ];
        let matches = DAEMON.command().try_get_matches_from(words.chain(settings.into_iter().flatten()))?;
        let run = matches.subcommand_matches("run").ok_or("there is no verb `run`")?;
        Ok(CaConfig::read(DAEMON.layers(run, |_| None))?.0)
    }
}

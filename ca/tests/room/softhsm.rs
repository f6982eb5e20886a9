//! A token of SoftHSM in a directory of its own: filled with keys, taken away, given back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use signet_testkit::{TempDir, TestCa, temp_dir};

/// What the token is called, and its PIN, which nothing may tell.
pub(crate) const LABEL: &str = "mesh";
pub(crate) const PIN: &str = "correct-horse-battery";

/// A token, gone when dropped.
pub(crate) struct Token {
    dir: TempDir,
}

impl Token {
    /// An empty token.
    pub(crate) fn new() -> Self {
        let token = Self { dir: temp_dir() };
        fs::create_dir(token.objects()).unwrap();
        let objects = token.objects();
        let text = format!("directories.tokendir = {}\nobjectstore.backend = file\n", objects.display());
        fs::write(token.conf(), text).unwrap();
        token.util(&["--init-token", "--free", "--label", LABEL, "--so-pin", "12345678", "--pin", PIN]);
        fs::write(token.pin_file(), PIN).unwrap();
        token.protect_pin();
        token
    }

    /// Puts the key of `ca` into it.
    pub(crate) fn import(&self, ca: &TestCa, label: &str, id: &str) {
        let path = self.dir.path().join("key.pem");
        fs::write(&path, ca.key_pem()).unwrap();
        let path_text = path.to_str().unwrap();
        self.util(&["--import", path_text, "--token", LABEL, "--label", label, "--id", id, "--pin", PIN]);
        fs::remove_file(path).unwrap();
    }

    /// Takes the token out of the machine.
    pub(crate) fn take_away(&self) {
        fs::rename(self.objects(), self.dir.path().join("elsewhere")).unwrap();
        fs::create_dir(self.objects()).unwrap();
    }

    pub(crate) fn give_back(&self) {
        // What SoftHSM has put there meanwhile is not ours.
        fs::remove_dir_all(self.objects()).unwrap();
        fs::rename(self.dir.path().join("elsewhere"), self.objects()).unwrap();
    }

    pub(crate) fn write_pin(&self, pin: &str) {
        let fresh = self.dir.path().join("fresh-pin");
        fs::write(&fresh, pin).unwrap();
        fs::rename(fresh, self.pin_file()).unwrap();
        self.protect_pin();
    }

    fn protect_pin(&self) {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(self.pin_file(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn pin_file(&self) -> PathBuf {
        self.dir.path().join("pin")
    }

    /// What `SOFTHSM2_CONF` names.
    pub(crate) fn conf(&self) -> PathBuf {
        self.dir.path().join("softhsm2.conf")
    }

    fn objects(&self) -> PathBuf {
        self.dir.path().join("objects")
    }

    fn util(&self, words: &[&str]) {
        let program = installed().join("usr/bin/softhsm2-util");
        let mut command = Command::new(&program);
        command.env("SOFTHSM2_CONF", self.conf()).arg("--module").arg(module()).args(words);
        let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// SoftHSM's module.
pub(crate) fn module() -> PathBuf {
    let libraries = installed().join("usr/lib");
    let below = fs::read_dir(&libraries).into_iter().flatten().flatten().map(|entry| entry.path());
    let places = std::iter::once(libraries.clone()).chain(below).map(|dir| dir.join("softhsm/libsofthsm2.so"));
    places.into_iter().find(|path| path.is_file()).unwrap_or_else(|| panic!("no module below {}", libraries.display()))
}

/// The root below which SoftHSM is installed: what `SIGNET_SOFTHSM` names, or what `cargo xtask softhsm` left.
fn installed() -> PathBuf {
    let named = std::env::var_os("SIGNET_SOFTHSM").filter(|path| !path.is_empty()).map(PathBuf::from);
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).map(Path::to_owned).unwrap();
    let root = named.unwrap_or_else(|| target.join("softhsm"));
    assert!(
        root.join("usr/bin/softhsm2-util").is_file(),
        "SoftHSM is not below `{}`: run `cargo xtask softhsm`, or set SIGNET_SOFTHSM to `/` where it is installed",
        root.display()
    );
    root
}

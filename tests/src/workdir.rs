//! A folder and ports for one test.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

/// What the kernel takes as the path of a Unix socket, in bytes, its closing zero included.
const SOCKET_PATH_BYTES_MAX: usize = 108;

/// Where ports for tests begin: below those that the kernel gives to outgoing connections, so that
/// none of them takes a port between its choice and its use.
const PORTS_START: u16 = 15_000;
/// How many of them there are.
const PORTS_COUNT: u16 = 15_000;

/// A folder with a short path that is removed with this value.
#[derive(Debug)]
pub struct Workdir {
    folder: TempDir,
}

impl Workdir {
    /// A new, empty folder.
    ///
    /// # Panics
    /// When it cannot be made.
    #[expect(clippy::new_without_default, reason = "making a folder is no default")]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("sg-").tempdir();
        Self { folder: folder.expect("a temporary folder can be made") }
    }

    /// The folder itself, absolute.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The path of something in it, which need not exist.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The path of a Unix socket in it.
    ///
    /// # Panics
    /// When the path is too long for the kernel.
    #[track_caller]
    pub fn socket(&self, name: &str) -> PathBuf {
        let path = self.join(name);
        let bytes = path.as_os_str().as_bytes().len();
        assert!(
            bytes < SOCKET_PATH_BYTES_MAX,
            "`{}` has {bytes} bytes and a socket path at most {}: set TMPDIR to a shorter folder",
            path.display(),
            SOCKET_PATH_BYTES_MAX - 1
        );
        path
    }

    /// Writes a file, with the folders above it, and returns its path.
    ///
    /// # Panics
    /// When it cannot be written.
    #[track_caller]
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        let parent = path.parent().expect("a file in a folder has a parent");
        fs::create_dir_all(parent).expect("folders can be made");
        fs::write(&path, contents).expect("files can be written");
        path
    }
}

/// A TCP port on loopback that nobody listens on and that no other caller in this process gets.
///
/// # Panics
/// When every port is taken.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    // Test programs that run side by side begin in different places.
    let offset = std::process::id().wrapping_mul(97) % u32::from(PORTS_COUNT);
    for _ in 0..PORTS_COUNT {
        let turn = u32::from(TAKEN.fetch_add(1, Ordering::Relaxed));
        let place = (offset + turn) % u32::from(PORTS_COUNT);
        let port = PORTS_START + u16::try_from(place).expect("a place is below the count");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no TCP port is free between {PORTS_START} and {}", PORTS_START + PORTS_COUNT);
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::{Workdir, free_port};

    #[test]
    fn ports_are_free_and_differ() {
        let (one, other) = (free_port(), free_port());

        assert_ne!(one, other);
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, one)).unwrap();
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, other)).is_ok());
    }

    #[test]
    fn a_folder_goes_with_its_value() {
        let workdir = Workdir::new();
        let path = workdir.write("deep/down/file", "text");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "text");

        drop(workdir);

        assert!(!path.exists());
    }

    #[test]
    #[should_panic(expected = "set TMPDIR to a shorter folder")]
    fn a_socket_path_beyond_the_kernels_bound_is_refused() {
        Workdir::new().socket(&"s".repeat(108));
    }
}

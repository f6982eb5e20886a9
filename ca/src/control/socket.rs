//! The socket itself: bound in one step with its mode, closed to other users, removed when its owner ends.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use signet_runtime::files::SECRET_MODE;
use tokio::net::{UnixListener, UnixStream};

const ROOT: u32 = 0;

/// Why a control socket cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The operating system refused.
    #[error("cannot {verb} control socket `{path}`: {source}")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Something else stands there.
    #[error("`{path}` is there and is no socket")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
}

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode, to know our own again.
    file: (u64, u64),
}

impl Socket {
    /// Binds `path`. `None` when another process answers there, which then is the one to ask.
    pub(crate) fn bind(path: &Path) -> Result<Option<Self>, BindError> {
        let failed = |verb| move |source| BindError::Io { verb, path: path.to_owned(), source };
        match fs::symlink_metadata(path) {
            Ok(found) if !is_socket(&found) => return Err(BindError::NotASocket { path: path.to_owned() }),
            Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => return Ok(None),
            _ => {}
        }
        // Nobody can connect before the mode is right, and whoever connects at `path` finds it whole.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
        let _ = fs::remove_file(&beside);
        let listener = UnixListener::bind(&beside).map_err(failed("bind"))?;
        let placed = fs::set_permissions(&beside, fs::Permissions::from_mode(SECRET_MODE))
            .and_then(|()| fs::rename(&beside, path))
            .and_then(|()| fs::symlink_metadata(path));
        match placed {
            Ok(found) => Ok(Some(Self { listener, path: path.to_owned(), file: (found.dev(), found.ino()) })),
            Err(error) => {
                let _ = fs::remove_file(&beside);
                Err(failed("place")(error))
            }
        }
    }

    /// The next operator: our own user, or root. Others are turned away.
    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let uid = stream.peer_cred()?.uid();
            if uid == ROOT || uid == rustix::process::geteuid().as_raw() {
                return Ok(stream);
            }
            tracing::warn!(uid, "another user was turned away from the control socket");
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.file);
        if is_ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn is_socket(found: &fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_socket(&found.file_type())
}

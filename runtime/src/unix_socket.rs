//! A Unix socket: who owns the path, who may connect, and what if the path is lost.
//!
//! A path that a live server holds is never taken away from it; a dead socket, left behind by a crash, is replaced;
//! anything else in the way is left alone and told. The kernel says who the peer is before a byte is read.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use crate::HealthHandle;

/// Mode of directories made for the socket: others may pass through, since the socket has a mode of its own.
const DIR_MODE: u32 = 0o755;

/// Most connections open at once. A proxy needs one.
pub const CONNECTIONS_MAX: usize = 1024;

/// Time between two looks at whether the path still leads to our socket.
const PATH_CHECK: Duration = Duration::from_secs(2);

/// Wait after a failed accept, which is mostly for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Why the socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process serves on this path.
    #[error("socket `{path}` is held by a live server, stop it or set `{setting}` to another path")]
    HeldByLiveServer {
        /// The path.
        path: PathBuf,
        /// The setting that names it.
        setting: &'static str,
    },
    /// A file of another kind is in the way.
    #[error("`{path}` exists and is not a socket, remove it or set `{setting}` to another path")]
    NotASocket {
        /// The path.
        path: PathBuf,
        /// The setting that names it.
        setting: &'static str,
    },
    /// The operating system refused.
    #[error("cannot {verb} `{path}`")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl BindError {
    fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { verb, path, source }
    }
}

/// Where a socket is to be, and for whom.
#[derive(Debug, Clone)]
pub struct SocketOptions {
    /// Its path.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// Users that may connect beside our own and root.
    pub allowed_uids: Vec<u32>,
    /// The setting that names the path, for messages.
    pub setting: &'static str,
}

/// Why a connection is closed before a byte is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// Its user may not connect.
    Uid,
    /// [`CONNECTIONS_MAX`] are open.
    Limit,
    /// The kernel does not say who it is.
    Unknown,
}

impl Denied {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Uid, Self::Limit, Self::Unknown];

    /// A word for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uid => "uid",
            Self::Limit => "limit",
            Self::Unknown => "unknown",
        }
    }
}

/// A connection of a peer that may connect.
#[derive(Debug)]
pub struct Admitted {
    /// The connection.
    pub stream: UnixStream,
    /// Its place among [`CONNECTIONS_MAX`], to be held for as long as it is open.
    pub place: OwnedSemaphorePermit,
}

/// The bound socket. Dropping it removes the path, if that is still ours.
#[derive(Debug)]
pub struct UnixSocket {
    options: SocketOptions,
    listener: UnixListener,
    /// Device and inode behind the path when it was bound.
    inode: (u64, u64),
    /// Users that may connect.
    allowed: Vec<u32>,
    places: Arc<Semaphore>,
    /// Held for as long as we live, so that two servers starting at once cannot both take a dead path.
    _lock: File,
    check: Interval,
    health: HealthHandle,
}

impl UnixSocket {
    /// Binds the path.
    ///
    /// # Errors
    /// Every variant of [`BindError`].
    pub fn bind(options: SocketOptions, health: HealthHandle) -> Result<Self, BindError> {
        make_parent(&options.path)?;
        let lock = lock(&options)?;
        let (listener, inode) = take(&options)?;
        let own = rustix::process::geteuid().as_raw();
        let allowed = options.allowed_uids.iter().copied().chain([0, own]).collect();
        let mut check = interval(PATH_CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        health.ready();
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Ok(Self { options, listener, inode, allowed, places, _lock: lock, check, health })
    }

    /// The next connection of a peer that may connect; `denied` is told of each that may not. Loses nothing when it is
    /// dropped before it is done.
    pub async fn accept(&mut self, mut denied: impl FnMut(Denied) + Send) -> Admitted {
        loop {
            tokio::select! {
                // A connection that is not accepted yet stays in the kernel's queue, a tick is only a reminder.
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => match self.admit(stream) {
                        Ok(admitted) => return admitted,
                        Err(why) => denied(why),
                    },
                    Err(error) => {
                        tracing::warn!(%error, "connection could not be accepted");
                        sleep(ACCEPT_RETRY).await;
                    }
                },
                _ = self.check.tick() => self.keep_path(),
            }
        }
    }

    /// Lets a peer in, or closes the connection.
    fn admit(&self, stream: UnixStream) -> Result<Admitted, Denied> {
        match stream.peer_cred() {
            Ok(peer) if self.allowed.contains(&peer.uid()) => match self.places.clone().try_acquire_owned() {
                Ok(place) => Ok(Admitted { stream, place }),
                Err(_) => {
                    tracing::warn!(uid = peer.uid(), "connection refused, {CONNECTIONS_MAX} are open");
                    Err(Denied::Limit)
                }
            },
            Ok(peer) => {
                tracing::warn!(uid = peer.uid(), pid = peer.pid(), "connection refused, this user may not connect");
                Err(Denied::Uid)
            }
            Err(error) => {
                tracing::warn!(%error, "connection refused, the peer's user is unknown");
                Err(Denied::Unknown)
            }
        }
    }

    /// Binds anew when the path no longer leads to our socket. Open connections are not touched.
    fn keep_path(&mut self) {
        if inode(&self.options.path).ok() == Some(self.inode) {
            return self.health.ready();
        }
        match make_parent(&self.options.path).and_then(|()| take(&self.options)) {
            Ok((listener, inode)) => {
                tracing::warn!(path = %self.options.path.display(), "socket was removed, bound it anew");
                (self.listener, self.inode) = (listener, inode);
                self.health.ready();
            }
            Err(error) => {
                let error = crate::tasks::chain(&error);
                tracing::error!(error, "socket was taken away and cannot be bound anew");
                self.health.not_ready(error);
            }
        }
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if inode(&self.options.path).ok() == Some(self.inode)
            && let Err(error) = fs::remove_file(&self.options.path)
        {
            tracing::warn!(%error, path = %self.options.path.display(), "socket could not be removed");
        }
    }
}

fn make_parent(path: &Path) -> Result<(), BindError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let made = DirBuilder::new().recursive(true).mode(DIR_MODE).create(parent);
    made.map_err(BindError::io("create directory", parent))
}

fn lock(options: &SocketOptions) -> Result<File, BindError> {
    let path = options.path.as_path();
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(&name);
    let file = file.map_err(BindError::io("create", &name))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(held(options)),
        Err(error) => Err(BindError::io("lock", &name)(error.into())),
    }
}

fn held(options: &SocketOptions) -> BindError {
    BindError::HeldByLiveServer { path: options.path.clone(), setting: options.setting }
}

/// Binds the path if it is free or holds a dead socket.
fn take(options: &SocketOptions) -> Result<(UnixListener, (u64, u64)), BindError> {
    let path = options.path.as_path();
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::NotASocket { path: path.to_owned(), setting: options.setting });
        }
        Ok(_) if is_served(path)? => return Err(held(options)),
        Ok(_) => fs::remove_file(path).map_err(BindError::io("remove dead socket", path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(BindError::io("look at", path)(error)),
    }
    let listener = UnixListener::bind(path).map_err(BindError::io("bind", path))?;
    fs::set_permissions(path, Permissions::from_mode(options.mode)).map_err(BindError::io("set mode of", path))?;
    let inode = inode(path).map_err(BindError::io("look at", path))?;
    Ok((listener, inode))
}

/// Whether somebody listens behind `path`. Does not wait: a server too busy to accept is alive, too.
fn is_served(path: &Path) -> Result<bool, BindError> {
    let failed = |error: Errno| BindError::io("probe", path)(error.into());
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let probe = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(failed)?;
    match connect(&probe, &SocketAddrUnix::new(path).map_err(failed)?) {
        Ok(()) | Err(Errno::AGAIN) => Ok(true),
        Err(Errno::CONNREFUSED) => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests;

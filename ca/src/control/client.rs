//! The other end of the control socket, for the command line.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::protocol::{Answer, LINE_MAX_BYTES, Question};

/// How long an answer may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No running authority there, or none that talks to us.
    #[error("cannot reach a running authority at `{path}`: {source}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It went away, or took too long.
    #[error("authority gave no answer: {0}")]
    Talk(#[from] io::Error),
    /// It answered what is no answer.
    #[error("authority gave an answer that cannot be read: {0}")]
    Answer(#[from] serde_json::Error),
}

/// Asks the authority whose control socket is at `path`.
///
/// # Errors
/// Every variant of [`AskError`].
pub fn ask(path: &Path, question: &Question) -> Result<Answer, AskError> {
    let connect = UnixStream::connect(path);
    let mut stream = connect.map_err(|source| AskError::Connect { path: path.to_owned(), source })?;
    stream.set_read_timeout(Some(ANSWER_DEADLINE))?;
    stream.set_write_timeout(Some(ANSWER_DEADLINE))?;
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream).take(LINE_MAX_BYTES as u64).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(serde_json::from_slice(&answer)?)
}

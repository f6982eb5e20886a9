//! The lines of a watch: cut out of the stream, bounded, and read.

use http_body_util::BodyExt as _;
use kube::client::Body;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use signet_runtime::tasks::chain;
use zeroize::Zeroizing;

use super::{ApiError, Refusal, parse};

/// Longest line: one object with room for how it is written.
const LINE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// One line of a watch.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", content = "object", rename_all = "UPPERCASE")]
pub(crate) enum Line<T> {
    Added(T),
    Modified(T),
    Deleted(T),
    /// Nothing happened up to this version.
    Bookmark(Mark),
    Error(Refusal),
}

/// What a bookmark says.
#[derive(Debug, Deserialize)]
pub(crate) struct Mark {
    metadata: MarkMeta,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MarkMeta {
    resource_version: String,
}

impl Mark {
    pub(crate) fn version(&self) -> &str {
        &self.metadata.resource_version
    }
}

/// The lines of an answer as they come.
pub(crate) struct Lines {
    body: Body,
    buffer: Buffer,
}

impl Lines {
    pub(super) fn new(body: Body) -> Self {
        Self { body, buffer: Buffer::default() }
    }

    /// The next line, or nothing at the end. Dropping this future loses nothing.
    ///
    /// # Errors
    /// [`ApiError::Unreachable`], [`ApiError::TooLarge`], [`ApiError::Malformed`].
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<Line<T>>, ApiError> {
        loop {
            if let Some(line) = self.buffer.take_line() {
                return parse(&line).map(Some);
            }
            match self.body.frame().await {
                // An end in the midst of a line is an end: what was cut off comes again.
                None => return Ok(None),
                Some(Err(error)) => return Err(ApiError::Unreachable(chain(&error))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.push(&data)?;
                    }
                }
            }
        }
    }
}

/// Bytes of which not all lines were taken yet. Objects may hold keys, so what is dropped is wiped.
#[derive(Default)]
struct Buffer {
    bytes: Zeroizing<Vec<u8>>,
    /// Up to here there is no end of a line.
    searched: usize,
}

impl Buffer {
    fn push(&mut self, data: &[u8]) -> Result<(), ApiError> {
        if self.bytes.len().saturating_add(data.len()) > LINE_MAX_BYTES {
            return Err(ApiError::TooLarge { max: LINE_MAX_BYTES });
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    fn take_line(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        loop {
            let unsearched = self.bytes.get(self.searched..).unwrap_or_default();
            let Some(end) = unsearched.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.bytes.len();
                return None;
            };
            let rest = Zeroizing::new(self.bytes.split_off(self.searched + end + 1));
            let line = std::mem::replace(&mut self.bytes, rest);
            self.searched = 0;
            if line.len() > 1 {
                return Some(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut buffer = Buffer::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            buffer.push(chunk).unwrap();
            while let Some(line) = buffer.take_line() {
                lines.push(line.to_vec());
            }
        }
        lines
    }

    #[test]
    fn lines_are_cut_wherever_the_network_cuts() {
        assert_eq!(lines(&[b"a\n\nb", b"c\n", b"d"]), [b"a\n".to_vec(), b"bc\n".to_vec()]);
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        let mut buffer = Buffer::default();
        buffer.push(&vec![b'a'; LINE_MAX_BYTES]).unwrap();
        assert_eq!(buffer.take_line(), None);
        assert_eq!(buffer.push(b"a"), Err(ApiError::TooLarge { max: LINE_MAX_BYTES }));
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_lines(text in "[a\n]{0,60}", cut in 0usize..60) {
            let bytes = text.as_bytes();
            let (one, two) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(lines(&[one, two]), lines(&[bytes]));
        }

        #[test]
        fn no_line_makes_reading_panic(line: Vec<u8>) {
            let _ = parse::<Line<Mark>>(&line);
        }
    }

    #[test]
    fn every_type_of_line_is_known() {
        let read = |json: &str| parse::<Line<Mark>>(json.as_bytes());
        let object = r#"{"kind":"Pod","metadata":{"resourceVersion":"7","name":"a"}}"#;
        for kind in ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"] {
            let line = read(&format!(r#"{{"type":"{kind}","object":{object}}}"#)).unwrap();
            let (Line::Added(mark) | Line::Modified(mark) | Line::Deleted(mark) | Line::Bookmark(mark)) = line else {
                panic!("{kind} is no error");
            };
            assert_eq!(mark.version(), "7");
        }
        let gone = r#"{"type":"ERROR","object":{"kind":"Status","reason":"Expired","code":410,"message":"too old"}}"#;
        assert!(matches!(read(gone), Ok(Line::Error(Refusal { code: 410, .. }))));
        assert!(matches!(read(r#"{"type":"NEW","object":{}}"#), Err(ApiError::Malformed(_))));
    }
}

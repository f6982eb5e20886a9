//! The PIN: read from its file when it is needed, wiped after, and never given to a token twice that refused it.

use std::path::PathBuf;

use signet_runtime::files;
use zeroize::Zeroizing;

use super::TokenError;
use crate::config::check_pin_mode;

/// Longest PIN file, in bytes.
const PIN_MAX_BYTES: usize = 256;

/// The file, and what was refused of it.
pub(super) struct Pin {
    path: PathBuf,
    refused: Option<Zeroizing<String>>,
}

impl Pin {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, refused: None }
    }

    /// What to try.
    ///
    /// # Errors
    /// [`TokenError::PinFile`], and [`TokenError::PinRefused`] when it is what the token refused before.
    pub(super) fn read(&self) -> Result<Zeroizing<String>, TokenError> {
        let unusable = |why: String| TokenError::PinFile { why };
        check_pin_mode(&self.path).map_err(unusable)?;
        let read = files::read(&self.path, PIN_MAX_BYTES).map_err(|error| unusable(error.to_string()))?;
        let bytes = Zeroizing::new(read);
        let text =
            std::str::from_utf8(&bytes).map_err(|_| unusable(format!("`{}` is not text", self.path.display())))?;
        let pin = text.trim_end_matches(['\r', '\n']);
        if pin.is_empty() {
            return Err(unusable(format!("`{}` is empty", self.path.display())));
        }
        if self.refused.as_ref().is_some_and(|refused| refused.as_str() == pin) {
            return Err(TokenError::PinRefused { path: self.path.clone() });
        }
        Ok(Zeroizing::new(pin.to_owned()))
    }

    /// Remembers that this one was refused.
    pub(super) fn refuse(&mut self, pin: Zeroizing<String>) -> TokenError {
        self.refused = Some(pin);
        TokenError::PinRefused { path: self.path.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use signet_testkit::temp_dir;

    use super::*;

    fn write(path: &Path, text: &str, mode: u32) {
        files::replace(path, text.as_bytes(), mode).unwrap();
        // Whatever the process's mask is.
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_end_of_the_line_is_not_part_of_the_pin_and_spaces_are() {
        let dir = temp_dir();
        let path = dir.path().join("pin");
        for (text, pin) in [("1234", "1234"), ("1234\n", "1234"), ("12 34 \r\n", "12 34 ")] {
            write(&path, text, 0o600);
            assert_eq!(Pin::new(path.clone()).read().unwrap().as_str(), pin);
        }
    }

    #[test]
    fn what_is_no_pin_or_lies_open_is_refused() {
        let dir = temp_dir();
        let path = dir.path().join("pin");
        let why = || Pin::new(path.clone()).read().unwrap_err().to_string();
        assert!(why().contains("cannot look at"), "{}", why());
        for (text, mode, told) in [
            ("\n", 0o600, "is empty"),
            ("1234", 0o644, "may be read or written by everybody (mode 644)"),
            ("1234", 0o602, "may be read or written by everybody"),
        ] {
            write(&path, text, mode);
            assert!(why().contains(told), "{}", why());
        }
        write(&path, &"1".repeat(PIN_MAX_BYTES + 1), 0o600);
        assert!(why().contains("more than 256 bytes"), "{}", why());
        write(&path, "1234", 0o440);
        assert!(Pin::new(path).read().is_ok(), "a Secret's volume belongs to a group");
    }

    #[test]
    fn a_pin_that_was_refused_is_read_again_only_once_the_file_has_changed() {
        let dir = temp_dir();
        let path = dir.path().join("pin");
        write(&path, "wrong", 0o600);
        let mut pin = Pin::new(path.clone());
        let wrong = pin.read().unwrap();
        assert_eq!(wrong.as_str(), "wrong");
        let refused = pin.refuse(wrong);
        assert_eq!(pin.read().unwrap_err(), refused);
        write(&path, "wrong\n", 0o600);
        assert_eq!(pin.read().unwrap_err(), refused, "another end of the line makes no other PIN");
        write(&path, "right", 0o600);
        assert_eq!(pin.read().unwrap().as_str(), "right");
    }
}

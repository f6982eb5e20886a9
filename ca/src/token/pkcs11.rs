//! A PKCS#11 module: loaded once, its token found by name, a session opened, keys found by what they sign.
//!
//! When the token cannot be reached the module is started anew, since many know only the tokens that were there when
//! they started. That ends every session in it, and their numbers begin again: a session of before is then neither used
//! nor closed, as its number may be another's by now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session as RawSession, SessionState, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use ring::digest;
use signet_identity::{KeyAlgorithm, PublicKey, SignatureAlgorithm};

use super::TokenError;
use super::pin::Pin;
use super::pool::{Entrance, Session};
use super::signature::ecdsa_der;
use crate::config::{Pkcs11Config, TokenName};
use crate::metrics::TokenMetrics;

/// Most slots that are looked at.
const SLOTS_MAX: usize = 64;

/// Most keys that are tried for one certificate.
const KEYS_MAX: usize = 32;

/// A module and the one token of it that is used.
pub(super) struct Module {
    config: Pkcs11Config,
    metrics: TokenMetrics,
    pin: Mutex<Pin>,
    /// Read while the module is called, written while it is started.
    running: Arc<RwLock<Running>>,
}

/// The module while it runs.
#[derive(Default)]
struct Running {
    module: Option<Pkcs11>,
    /// How often it was started.
    start: u64,
}

impl Module {
    pub(super) fn new(config: Pkcs11Config, metrics: TokenMetrics) -> Self {
        let pin = Mutex::new(Pin::new(config.pin_file.clone()));
        Self { config, metrics, pin, running: Arc::default() }
    }

    fn try_enter(&self) -> Result<Box<dyn Session>, TokenError> {
        self.start_if_needed()?;
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        let module = running.module.as_ref().ok_or(TokenError::Threads)?;
        let (slot, info) = self.slot(module)?;
        // Closed by hand: see the head of this file.
        let raw = module.open_ro_session_no_drop(slot).map_err(|error| reaching(&error))?;
        let (label, id) = (self.config.key_label.clone(), self.config.key_id.clone());
        let session = TokenSession {
            running: self.running.clone(),
            start: running.start,
            raw: Some(raw),
            label,
            id,
            known: HashMap::new(),
        };
        let logged_in = self.log_in(&session, &info);
        // A session that is dropped asks for it once more.
        drop(running);
        logged_in.map(|()| Box::new(session) as Box<dyn Session>)
    }

    fn start_if_needed(&self) -> Result<(), TokenError> {
        let mut running = self.running.write().unwrap_or_else(PoisonError::into_inner);
        if running.module.is_none() {
            let path = &self.config.module;
            let unusable = |error: Error| TokenError::Module { path: path.clone(), why: error.to_string() };
            let module = Pkcs11::new(path).map_err(unusable)?;
            initialize(&module).map_err(unusable)?;
            tracing::info!(module = %path.display(), "PKCS#11 module started");
            running.module = Some(module);
            running.start += 1;
        }
        Ok(())
    }

    /// Starts the module anew, unless it is being called.
    fn restart(&self) -> Result<(), TokenError> {
        let Ok(mut running) = self.running.try_write() else { return Ok(()) };
        let Some(module) = &running.module else { return Ok(()) };
        // One that was not running any more is as good.
        let _ = module.clone().finalize();
        initialize(module)
            .map_err(|error| TokenError::Module { path: self.config.module.clone(), why: error.to_string() })?;
        running.start += 1;
        Ok(())
    }

    fn slot(&self, module: &Pkcs11) -> Result<(Slot, TokenInfo), TokenError> {
        let slots = module.get_slots_with_token().map_err(|error| reaching(&error))?;
        let mut found = Vec::new();
        for slot in slots.into_iter().take(SLOTS_MAX) {
            // A slot whose token went away just now has none to name.
            let Ok(info) = module.get_token_info(slot) else { continue };
            let is_wanted = match &self.config.token {
                TokenName::Label(label) => info.label() == label,
                TokenName::Serial(serial) => info.serial_number() == serial,
            };
            if is_wanted {
                found.push((slot, info));
            }
        }
        let wanted = self.config.token.to_string();
        match (found.pop(), found.is_empty()) {
            (Some(found), true) => Ok(found),
            (Some(_), false) => Err(TokenError::Ambiguous { wanted }),
            (None, _) => Err(TokenError::Absent { wanted }),
        }
    }

    /// One log-in holds for all sessions of the process. A PIN is given to the token only when that cannot lock it.
    fn log_in(&self, session: &TokenSession, info: &TokenInfo) -> Result<(), TokenError> {
        let Some(raw) = session.raw.as_ref().filter(|_| info.login_required()) else { return Ok(()) };
        let state = raw.get_session_info().map_err(|error| reaching(&error))?.session_state();
        if matches!(state, SessionState::RoUser | SessionState::RwUser) {
            return Ok(());
        }
        tries_left(info.user_pin_locked(), info.user_pin_final_try())?;
        let mut pin = self.pin.lock().unwrap_or_else(PoisonError::into_inner);
        let text = pin.read()?;
        let result = raw.login(UserType::User, Some(&AuthPin::from(text.as_str())));
        let outcome = match result {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(TokenError::PinLocked),
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => {
                Err(pin.refuse(text))
            }
            Err(error) => Err(fault(&error)),
        };
        self.metrics.logged_in(if outcome.is_ok() { "done" } else { "refused" });
        outcome
    }
}

impl Entrance for Module {
    fn enter(&self) -> Result<Box<dyn Session>, TokenError> {
        match self.try_enter() {
            Err(TokenError::Absent { .. } | TokenError::Lost { .. }) => {
                self.restart()?;
                self.try_enter()
            }
            entered => entered,
        }
    }
}

/// Whether a PIN may be given to a token that says this of its user's PIN.
fn tries_left(is_locked: bool, is_last: bool) -> Result<(), TokenError> {
    match (is_locked, is_last) {
        (true, _) => Err(TokenError::PinLocked),
        (false, true) => Err(TokenError::PinLastTry),
        (false, false) => Ok(()),
    }
}

/// A module that another part of the process has started is as good.
fn initialize(module: &Pkcs11) -> Result<(), Error> {
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        initialized => initialized,
    }
}

/// A session, and the keys that were found in it.
struct TokenSession {
    running: Arc<RwLock<Running>>,
    /// The start of the module that it belongs to.
    start: u64,
    raw: Option<RawSession>,
    label: Option<String>,
    id: Option<Vec<u8>>,
    /// By the fingerprints of their public keys.
    known: HashMap<String, ObjectHandle>,
}

impl Session for TokenSession {
    fn sign(&mut self, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let running = self.running.clone();
        let running = running.read().unwrap_or_else(PoisonError::into_inner);
        let Some(raw) = self.raw.as_ref().filter(|_| running.start == self.start) else {
            return Err(TokenError::Lost { code: "module was started anew".to_owned() });
        };
        let work = Work::of(key, message)?;
        let fingerprint = key.fingerprint();
        if let Some(handle) = self.known.get(&fingerprint) {
            // A key that is gone, or that another took the number of, ends the session, and so is looked for again.
            let signed = work.sign(raw, *handle)?;
            return signed.ok_or(TokenError::WrongSignature);
        }
        for handle in self.candidates(raw, work.key_type)? {
            match work.sign(raw, handle) {
                Ok(Some(signature)) => {
                    self.known.insert(fingerprint, handle);
                    return Ok(signature);
                }
                // Another key, or one that may not sign.
                Ok(None) | Err(TokenError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(TokenError::NoKey)
    }
}

impl TokenSession {
    fn candidates(&self, raw: &RawSession, key_type: KeyType) -> Result<Vec<ObjectHandle>, TokenError> {
        let mut wanted = vec![Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::KeyType(key_type)];
        wanted.extend(self.label.as_ref().map(|label| Attribute::Label(label.clone().into_bytes())));
        wanted.extend(self.id.as_ref().map(|id| Attribute::Id(id.clone())));
        let found = raw.iter_objects(&wanted).map_err(|error| fault(&error))?;
        found.take(KEYS_MAX).collect::<Result<_, _>>().map_err(|error| fault(&error))
    }
}

impl Drop for TokenSession {
    fn drop(&mut self) {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(raw) = self.raw.take().filter(|_| running.start == self.start) {
            // One that was lost is closed already.
            let _ = raw.close();
        }
    }
}

/// What is to be signed, as a token wants it.
struct Work<'a> {
    key: &'a PublicKey,
    message: &'a [u8],
    algorithm: SignatureAlgorithm,
    key_type: KeyType,
    mechanism: Mechanism<'static>,
    /// The message, or its digest where the token makes none.
    input: Vec<u8>,
}

impl<'a> Work<'a> {
    fn of(key: &'a PublicKey, message: &'a [u8]) -> Result<Self, TokenError> {
        let digest = |of| digest::digest(of, message).as_ref().to_vec();
        let (key_type, mechanism, input) = match key.algorithm() {
            KeyAlgorithm::EcP256 => (KeyType::EC, Mechanism::Ecdsa, digest(&digest::SHA256)),
            KeyAlgorithm::EcP384 => (KeyType::EC, Mechanism::Ecdsa, digest(&digest::SHA384)),
            KeyAlgorithm::Rsa { .. } => (KeyType::RSA, Mechanism::Sha256RsaPkcs, message.to_vec()),
            KeyAlgorithm::Ed25519 => return Err(TokenError::Kind),
        };
        let algorithm = SignatureAlgorithm::of_key(key.algorithm());
        Ok(Self { key, message, algorithm, key_type, mechanism, input })
    }

    /// `None` when it is not the signature of `self.key`.
    fn sign(&self, raw: &RawSession, handle: ObjectHandle) -> Result<Option<Vec<u8>>, TokenError> {
        let signed = raw.sign(&self.mechanism, handle, &self.input).map_err(|error| fault(&error))?;
        let signature = match self.key.algorithm() {
            KeyAlgorithm::Rsa { .. } => Some(signed),
            kind => ecdsa_der(kind, &signed),
        };
        Ok(signature.filter(|signature| self.key.verify(self.algorithm, self.message, signature)))
    }
}

/// What becomes of an error of the module.
fn fault(error: &Error) -> TokenError {
    use RvError::{
        DataInvalid, DataLenRange, FunctionNotSupported, KeyFunctionNotPermitted, KeySizeRange, KeyTypeInconsistent,
        MechanismInvalid, MechanismParamInvalid,
    };
    match error {
        // The session is as good as before.
        Error::Pkcs11(
            code @ (DataInvalid
            | DataLenRange
            | FunctionNotSupported
            | KeyFunctionNotPermitted
            | KeySizeRange
            | KeyTypeInconsistent
            | MechanismInvalid
            | MechanismParamInvalid),
            function,
        ) => TokenError::Refused { code: format!("{function}: {code:?}") },
        // Whatever else it is, a fresh session may know better.
        error => reaching(error),
    }
}

fn reaching(error: &Error) -> TokenError {
    match error {
        // Others work: the module must not be started anew over it.
        Error::Pkcs11(code @ RvError::SessionCount, function) => {
            TokenError::Refused { code: format!("{function}: {code:?}") }
        }
        Error::Pkcs11(code, function) => TokenError::Lost { code: format!("{function}: {code:?}") },
        error => TokenError::Lost { code: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_try_of_a_pin_is_left_to_a_person() {
        assert_eq!(tries_left(false, false), Ok(()));
        assert_eq!(tries_left(false, true), Err(TokenError::PinLastTry));
        for is_last in [false, true] {
            assert_eq!(tries_left(true, is_last), Err(TokenError::PinLocked));
        }
    }

    #[test]
    fn only_what_says_nothing_about_the_way_to_the_token_leaves_a_session_open() {
        let of = |code| fault(&Error::Pkcs11(code, cryptoki::context::Function::Sign));
        for code in [RvError::MechanismInvalid, RvError::KeyFunctionNotPermitted, RvError::SessionCount] {
            assert!(matches!(of(code), TokenError::Refused { .. }), "{code:?}");
        }
        for code in [
            RvError::SessionHandleInvalid,
            RvError::SessionClosed,
            RvError::DeviceRemoved,
            RvError::DeviceError,
            RvError::TokenNotPresent,
            RvError::UserNotLoggedIn,
            RvError::KeyHandleInvalid,
            RvError::OperationActive,
            RvError::GeneralError,
        ] {
            assert!(matches!(of(code), TokenError::Lost { .. }), "{code:?}");
        }
    }
}

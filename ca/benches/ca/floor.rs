//! The three operations that no issuer can do without, straight from the library.

use std::error::Error;
use std::hint::black_box;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA256,
    UnparsedPublicKey,
};

use crate::material::Material;
use crate::stats::{Spread, thread_cpu_secs};

/// Bytes that are signed for a leaf with one name.
const LEAF_BYTES: usize = 400;

/// Bytes that are signed in a request with one name.
const REQUEST_BYTES: usize = 200;

/// The inputs of the three.
pub(crate) struct Floor {
    rng: SystemRandom,
    rsa: UnparsedPublicKey<Vec<u8>>,
    token: String,
    token_signature: Vec<u8>,
    p256: EcdsaKeyPair,
    request_signature: Vec<u8>,
}

/// Seconds of processor time for one of each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) rsa_verify: f64,
    pub(crate) p256_verify: f64,
    pub(crate) p256_sign: f64,
}

impl Round {
    pub(crate) fn sum(&self) -> f64 {
        self.rsa_verify + self.p256_verify + self.p256_sign
    }
}

/// How much slower than the fastest round of the run a round may be to count as calm.
const CALM: f64 = 1.10;

/// Which of the measurements between the rounds were made while nothing else slowed the core: the rounds before and
/// after them were both calm. `None` where fewer than `least` were.
pub(crate) fn calm_between(rounds: &[Round], least: usize) -> Option<Vec<bool>> {
    let fastest = rounds.iter().map(Round::sum).fold(f64::INFINITY, f64::min);
    let is_calm = |round: &Round| round.sum() <= CALM * fastest;
    let calm: Vec<bool> =
        rounds.iter().zip(rounds.iter().skip(1)).map(|(before, after)| is_calm(before) && is_calm(after)).collect();
    (calm.iter().filter(|calm| **calm).count() >= least).then_some(calm)
}

/// The mean of two.
pub(crate) fn between(before: &Round, after: &Round) -> f64 {
    f64::midpoint(before.sum(), after.sum())
}

/// Many rounds.
pub(crate) struct Spreads {
    pub(crate) rsa_verify: Spread,
    pub(crate) p256_verify: Spread,
    pub(crate) p256_sign: Spread,
    pub(crate) sum: Spread,
}

impl Spreads {
    pub(crate) fn of(rounds: &[Round]) -> Self {
        let spread = |pick: fn(&Round) -> f64| Spread::of(rounds.iter().map(pick).collect());
        Self {
            rsa_verify: spread(|round| round.rsa_verify),
            p256_verify: spread(|round| round.p256_verify),
            p256_sign: spread(|round| round.p256_sign),
            sum: spread(Round::sum),
        }
    }
}

impl Floor {
    pub(crate) fn new(material: &Material) -> Result<Self, Box<dyn Error>> {
        let token = material.callers.first().ok_or("there should be a caller")?.token.clone();
        let (input, signature) = token.rsplit_once('.').ok_or("a token should have parts")?;
        let rng = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &rng).map_err(|_| "a key should be made")?;
        let p256 = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &rng)?;
        let signature_of_request = p256.sign(&rng, &[7; REQUEST_BYTES]).map_err(|_| "a key should sign")?;
        let rsa = material.issuer.key().public().raw_bits().to_vec();
        Ok(Self {
            rsa: UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, rsa),
            token_signature: URL_SAFE_NO_PAD.decode(signature)?,
            token: input.to_owned(),
            request_signature: signature_of_request.as_ref().to_vec(),
            p256,
            rng,
        })
    }

    /// Does each `times` times and gives the processor time of one.
    pub(crate) fn round(&self, times: u32) -> Round {
        let timed = |operation: &dyn Fn() -> bool| {
            let began = thread_cpu_secs();
            let good = (0..times).filter(|_| black_box(operation())).count();
            // A verification that fails is quicker, so it must not pass for one that succeeds.
            assert_eq!(good, times as usize, "the bare operations should succeed");
            (thread_cpu_secs() - began) / f64::from(times)
        };
        let p256 = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, self.p256.public_key().as_ref());
        Round {
            rsa_verify: timed(&|| self.rsa.verify(self.token.as_bytes(), &self.token_signature).is_ok()),
            p256_verify: timed(&|| p256.verify(&[7; REQUEST_BYTES], &self.request_signature).is_ok()),
            p256_sign: timed(&|| self.p256.sign(&self.rng, &[7; LEAF_BYTES]).is_ok()),
        }
    }
}

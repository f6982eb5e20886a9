#!/usr/bin/env bash
# Makes the certificate requests in fixtures/csr with OpenSSL 3. Every key is made in a temporary
# folder and thrown away with it, so each run gives other bytes; what each file is stays the same.
# README.md tells what each is for.
set -euo pipefail
cd "$(dirname "$0")"
out=$PWD/fixtures/csr
keys=$(mktemp -d)
trap 'rm -rf "$keys"' EXIT
rm -rf "$out"
mkdir -p "$out"

id=spiffe://cluster.local/ns/shop/sa/web
printf '[req]\ndistinguished_name = name\nprompt = no\n[name]\n' >"$keys/plain.cnf"
cat >"$keys/challenge.cnf" <<'END'
[req]
distinguished_name = name
attributes = attributes
prompt = no
[name]
O = shop
[attributes]
challengePassword = let-me-in
END

ec_key() { openssl genpkey -quiet -algorithm EC -pkeyopt "ec_paramgen_curve:$2" -out "$keys/$1"; }
rsa_key() { openssl genpkey -quiet -algorithm RSA -pkeyopt "rsa_keygen_bits:$2" "${@:3}" -out "$keys/$1"; }

# request FILE KEY [OPTION...]: empty subject, one SPIFFE id asked for, SHA-256.
request() {
    openssl req -new -config "$keys/plain.cnf" -key "$keys/$2" -subj / -sha256 \
        -addext "subjectAltName = critical, URI:$id" "${@:3}" -out "$out/$1"
}
# request_for FILE NAMES [OPTION...]: the same for a P-256 key, with other names asked for.
request_for() {
    openssl req -new -config "$keys/plain.cnf" -key "$keys/p256" -subj / -sha256 \
        -addext "subjectAltName = $2" "${@:3}" -out "$out/$1"
}
to_der() { openssl req -in "$out/$1.pem" -outform DER -out "$out/$1.der"; }
# in_pem TYPE DER-FILE
in_pem() {
    echo "-----BEGIN $1-----"
    openssl base64 -in "$2"
    echo "-----END $1-----"
}

ec_key p256 P-256
ec_key p384 P-384
ec_key p521 P-521
openssl genpkey -quiet -algorithm ED25519 -out "$keys/ed25519"
openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
    -pkeyopt ec_param_enc:explicit -out "$keys/p256-explicit"
for bits in 1024 2048 4096 8192; do rsa_key "rsa-$bits" "$bits"; done
rsa_key rsa-exponent-3 2048 -pkeyopt rsa_keygen_pubexp:3

# Keys and signatures to accept.
for key in p256 rsa-2048 rsa-4096 ed25519; do request "$key.pem" "$key"; done
request p384.pem p384 -sha384
to_der p256

# Keys and signatures to refuse.
request rsa-1024.pem rsa-1024
request rsa-8192.pem rsa-8192
request rsa-exponent-3.pem rsa-exponent-3
request rsa-2048-sha1.pem rsa-2048 -sha1
request rsa-2048-pss.pem rsa-2048 -sigopt rsa_padding_mode:pss
request p256-sha384.pem p256 -sha384
request p384-sha256.pem p384
request p521.pem p521 -sha512
request p256-explicit-parameters.pem p256-explicit

# Requests that ask for more than a workload gets.
request asks-for-ca.pem p256 -addext 'basicConstraints = critical, CA:TRUE' \
    -addext 'keyUsage = critical, keyCertSign, cRLSign'
request_for asks-for-two-uris.pem "URI:$id, URI:spiffe://cluster.local/ns/shop/sa/orders"
request_for asks-for-another-id.pem 'URI:spiffe://cluster.local/ns/kube-system/sa/admin'
request_for asks-for-dns-name.pem "URI:$id, DNS:web.shop.svc"
request_for asks-for-ip-address.pem "URI:$id, IP:10.0.0.1"
request_for asks-for-email.pem "URI:$id, email:web@shop.example"
openssl req -new -config "$keys/plain.cnf" -key "$keys/p256" -subj /CN=web -sha256 \
    -out "$out/common-name-only.pem"
# OpenSSL leaves attributes out when a subject is given on the command line.
openssl req -new -config "$keys/challenge.cnf" -key "$keys/p256" -sha256 \
    -out "$out/challenge-password.pem"

# Subjects that `openssl req` will not write, put together by hand.
point=$(openssl pkey -in "$keys/p256" -pubout -outform DER | tail -c 65 | od -An -tx1 | tr -d ' \n')
# by_hand FILE NAME-TYPE VALUE
by_hand() {
    cat >"$keys/info.cnf" <<END
[info]
version = INTEGER:0
subject = SEQUENCE:subject
key = SEQUENCE:key
attributes = IMPLICIT:0,SEQUENCE:none
[none]
[subject]
only = SET:names
[names]
name = SEQUENCE:name
[name]
type = OID:$2
value = PRINTABLE:$3
[key]
algorithm = SEQUENCE:ec
point = FORMAT:HEX,BITSTRING:$point
[ec]
type = OID:id-ecPublicKey
curve = OID:prime256v1
END
    (echo 'asn1 = SEQUENCE:info' && cat "$keys/info.cnf") >"$keys/unsigned.cnf"
    openssl asn1parse -noout -genconf "$keys/unsigned.cnf" -out "$keys/info.der"
    signature=$(openssl dgst -sha256 -sign "$keys/p256" "$keys/info.der" | od -An -tx1 | tr -d ' \n')
    cat - "$keys/info.cnf" >"$keys/signed.cnf" <<END
asn1 = SEQUENCE:request
[request]
info = SEQUENCE:info
algorithm = SEQUENCE:ecdsa
signature = FORMAT:HEX,BITSTRING:$signature
[ecdsa]
type = OID:ecdsa-with-SHA256
END
    openssl asn1parse -noout -genconf "$keys/signed.cnf" -out "$keys/by-hand.der"
    in_pem 'CERTIFICATE REQUEST' "$keys/by-hand.der" >"$out/$1"
}
by_hand long-common-name.pem commonName "$(printf 'w%.0s' {1..70})"
by_hand empty-organization.pem organizationName ''

# Damage in the DER. The last byte belongs to the signature.
last=$(tail -c 1 "$out/p256.der" | od -An -tu1 | tr -d ' ')
head -c -1 "$out/p256.der" >"$out/bad-signature.der"
# shellcheck disable=SC2059 # the format is the byte
printf "\\$(printf %o $((last ^ 1)))" >>"$out/bad-signature.der"
(cat "$out/p256.der" && printf 'more') >"$out/trailing-bytes.der"
head -c 100 "$out/p256.der" >"$out/cut-short.der"
for name in bad-signature trailing-bytes cut-short; do
    in_pem 'CERTIFICATE REQUEST' "$out/$name.der" >"$out/$name.pem"
done

# Damage, or something odd, in the PEM.
cat "$out/p256.pem" "$out/p256.pem" >"$out/two-blocks.pem"
(echo 'A request of the shop:' && cat "$out/p256.pem" && echo 'Thank you.') >"$out/text-around.pem"
in_pem 'NEW CERTIFICATE REQUEST' "$out/p256.der" >"$out/old-block-type.pem"
openssl req -x509 -config "$keys/plain.cnf" -key "$keys/p256" -subj /CN=web -days 1 \
    -out "$out/certificate.pem"
echo 'Good morning. May I have a certificate?' >"$out/not-pem.pem"
: >"$out/empty.pem"

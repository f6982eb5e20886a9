"""A caller and a verifier that share no code with us: gRPC's own library asks for a token, PyJWT verifies it by what the
issuer publishes, and a SPIFFE library by the trust domain's keys.

Reads one JSON object from stdin: `address` and `name` of the CA, `roots` (a PEM file), `credential`, `audience`,
`expected` (the audience that the verifier wants), `issuer`, `bundle` (a URL), `trust_domain`.

Exit 0 with what was found as JSON; 3 with the reason on stdout when the verifier refuses the token.
"""

import json
import ssl
import sys
import urllib.request

import grpc
import jwt
from spiffe import JwtBundle, JwtSvid, TrustDomain


def varint(number):
    octets = b""
    while number > 127:
        octets, number = octets + bytes([number & 127 | 128]), number >> 7
    return octets + bytes([number])


def text_field(number, text):
    return varint(number << 3 | 2) + varint(len(text.encode())) + text.encode()


def mint(asked):
    with open(asked["roots"], "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    options = [("grpc.ssl_target_name_override", asked["name"])]
    with grpc.secure_channel(asked["address"], credentials, options) as channel:
        call = channel.unary_unary("/signet.ca.v1.Identity/MintJwt")
        metadata = [("authorization", "Bearer " + asked["credential"])]
        answer = call(text_field(1, asked["audience"]), metadata=metadata, timeout=10)
    # The token is the first field, and shorter than two octets of a length can say.
    assert answer[0] == 10
    length = answer[1] & 127 | answer[2] << 7
    return answer[3 : 3 + length].decode()


def read(url, context):
    with urllib.request.urlopen(url, context=context, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read()


asked = json.load(sys.stdin)
token = mint(asked)
context = ssl.create_default_context(cafile=asked["roots"])
discovery = json.loads(read(asked["issuer"] + "/.well-known/openid-configuration", context)[1])
assert discovery["issuer"] == asked["issuer"]
try:
    key = jwt.PyJWKClient(discovery["jwks_uri"], ssl_context=context).get_signing_key_from_jwt(token)
    claims = jwt.decode(
        token,
        key,
        algorithms=discovery["id_token_signing_alg_values_supported"],
        audience=asked["expected"],
        issuer=asked["issuer"],
        options={"require": ["sub", "aud", "exp", "iat", "iss", "jti"]},
    )
except jwt.PyJWTError as error:
    print(f"{type(error).__name__}: {error}")
    sys.exit(3)
_, keys = read(discovery["jwks_uri"], context)
keys = JwtBundle.parse(TrustDomain(asked["trust_domain"]), keys)
svid = JwtSvid.parse_and_validate(token, keys, {asked["expected"]})
kind, bundle = read(asked["bundle"], context)
found = {
    "header": jwt.get_unverified_header(token),
    "claims": claims,
    "spiffe_id": str(svid.spiffe_id),
    "bundle_type": kind,
    "bundle": json.loads(bundle),
}
print(json.dumps(found))

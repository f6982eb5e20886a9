# A program that knows nothing but the socket: takes its identity, its bundles and a token, and follows its identity
# until it has changed. Prints what it found as JSON.
import json
import sys
import threading

from spiffe import WorkloadApiClient, X509Source
from spiffe.spiffe_id.spiffe_id import TrustDomain

asked = json.load(sys.stdin)
client = WorkloadApiClient(asked["socket"])


def serial(svid):
    return format(svid.leaf.serial_number, "x")


svid = client.fetch_x509_svid()
context = client.fetch_x509_context()
bundle = client.fetch_x509_bundles().get_bundle_for_trust_domain(TrustDomain("cluster.local"))
jwt = client.fetch_jwt_svid(audience={asked["audience"]})

# The source watches; its own timer must see another certificate.
changed = threading.Event()
with X509Source(socket_path=asked["socket"]) as source:
    first = serial(source.svid)
    for _ in range(600):
        if serial(source.svid) != first:
            changed.set()
            break
        threading.Event().wait(0.05)

print(json.dumps({
    "id": str(svid.spiffe_id),
    "chain": len(svid.cert_chain),
    "default": str(context.default_svid.spiffe_id),
    "roots": len(bundle.x509_authorities),
    "token_id": str(jwt.spiffe_id),
    "token_audience": sorted(jwt.audience),
    "rotated": changed.is_set(),
}))

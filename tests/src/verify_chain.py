"""OpenSSL's verdict on a chain: CHAIN (leaf first) against ROOTS, both PEM files, under its strict rules.

Exit 0 when it holds; 1 with OpenSSL's reason on stdout when it does not.
"""

import sys

from OpenSSL import crypto

MARK = b"-----BEGIN CERTIFICATE-----"


def certificates(path):
    with open(path, "rb") as file:
        parts = file.read().split(MARK)[1:]
    return [crypto.load_certificate(crypto.FILETYPE_PEM, MARK + part) for part in parts]


chain, roots = certificates(sys.argv[1]), certificates(sys.argv[2])
store = crypto.X509Store()
store.set_flags(crypto.X509StoreFlags.X509_STRICT)
for root in roots:
    store.add_cert(root)
try:
    crypto.X509StoreContext(store, chain[0], chain[1:]).verify_certificate()
except crypto.X509StoreContextError as error:
    print(error)
    sys.exit(1)

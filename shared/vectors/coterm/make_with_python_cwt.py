"""Makes token-by-python-cwt.hex with the Python package `cwt` (3.3.0), and verifies token.hex with it.

    pip install cwt==3.3.0 && python make_with_python_cwt.py

The claims are those of `claims()` in shared/src/token/tests/support.rs. Nothing of Coterm runs here: the COSE layer,
the CBOR encoder and the signature are the peer's.
"""

import hashlib
import pathlib

import cbor2
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cwt import COSE, COSEKey

HERE = pathlib.Path(__file__).parent
SEED = bytes([31] * 32)
ISSUED, DAY = 1_800_000_000, 86_400

private = Ed25519PrivateKey.from_private_bytes(SEED)
x = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
kid = hashlib.sha256(cbor2.dumps({1: 1, -1: 6, -2: x}, canonical=True)).digest()[:8]
header = {1: -19, 4: kid, 16: "application/vnd.coterm.license-state+cwt"}
license_state = {
    1: 1,
    2: bytes([1] * 16),
    3: bytes([2] * 16),
    4: bytes([3] * 16),
    5: 1,
    6: [[1], [2, 1, 1000]],
    7: [ISSUED - DAY, ISSUED + 30 * DAY, ISSUED + 60 * DAY],
    8: ISSUED + 40 * DAY,
    9: 1,
    10: ISSUED * 1000,
    11: ISSUED - DAY,
}
claims = {
    1: "licenses.example.com",
    3: "dev_0190163d8694739b912b7ac7e1d8a5f1",
    4: ISSUED + 7 * DAY,
    6: ISSUED,
    10: bytes([0xA5] * 16),
    -70001: license_state,
}

key = COSEKey.new({1: 1, 2: kid, 3: -19, -1: 6, -2: x, -4: SEED})
token = COSE.new().encode_and_sign(cbor2.dumps(claims, canonical=True), key, protected=header)
(HERE / "token-by-python-cwt.hex").write_text(token.hex() + "\n")

ours = bytes.fromhex((HERE / "token.hex").read_text())
public = COSEKey.new({1: 1, 2: kid, 3: -19, -1: 6, -2: x})
protected, unprotected, payload = COSE.new().decode_with_headers(ours, public)
assert (protected, unprotected) == (header, {}), (protected, unprotected)
assert cbor2.loads(payload) == claims, cbor2.loads(payload)
damaged = bytearray(ours)
damaged[-1] ^= 1
try:
    COSE.new().decode(bytes(damaged), public)
except Exception as refused:
    print("the peer verifies token.hex, and of a damaged one it says:", refused)
else:
    raise SystemExit("the peer accepted a damaged token")

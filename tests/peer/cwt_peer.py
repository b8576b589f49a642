"""An independent implementation of CWT and COSE, asked over lines of JSON: the Python package `cwt`.

Nothing of Coterm runs here. The CBOR encoder, the COSE layer and Ed25519 are the peer's; only the numbers of
shared/docs/TOKEN.md are written down once more. Bytes are hexadecimal.

    {"do": "make", "seed": "...", "claims": {...}}       -> {"token": "..."}
    {"do": "verify", "x": "...", "token": "..."}         -> {"claims": {...}} or {"refused": "..."}
    {"do": "document", "keys": ["x", ...], "document": "...", "type": "..."} -> {"content": "..."} or {"refused": "..."}
"""

import hashlib
import json
import sys
import time

import cbor2
import cwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cwt import COSE, COSEKey

TOKEN_TYPE = "application/vnd.coterm.license-state+cwt"
EDDSA_25519 = -19
LICENSE = -70001


def kid_of(x):
    """RFC 9679: the first 8 bytes of the SHA-256 COSE key thumbprint."""
    return hashlib.sha256(cbor2.dumps({1: 1, -1: 6, -2: x}, canonical=True)).digest()[:8]


def public(x):
    return COSEKey.new({1: 1, 2: kid_of(x), 3: EDDSA_25519, -1: 6, -2: x})


def make(request):
    seed, said = bytes.fromhex(request["seed"]), request["claims"]
    private = Ed25519PrivateKey.from_private_bytes(seed)
    x = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    license_state = {
        1: 1,
        2: bytes.fromhex(said["organization"]),
        3: bytes.fromhex(said["site"]),
        5: said["state"],
        6: said["findings"],
        7: said["schedule"],
        8: said["offline_lock"],
        9: said["epoch"],
        10: said["sequence"],
        11: said["coterm"],
    }
    if said["group"] is not None:
        license_state[4] = bytes.fromhex(said["group"])
    claims = {1: said["iss"], 3: said["aud"], 4: said["exp"], 6: said["iat"], LICENSE: license_state}
    if said["nonce"] is not None:
        claims[10] = bytes.fromhex(said["nonce"])
    key = COSEKey.new({1: 1, 2: kid_of(x), 3: EDDSA_25519, -1: 6, -2: x, -4: seed})
    header = {1: EDDSA_25519, 4: kid_of(x), 16: TOKEN_TYPE}
    payload = cbor2.dumps(claims, canonical=True)
    return {"token": COSE.new().encode_and_sign(payload, key, protected=header).hex()}


def described(claims):
    state = claims[LICENSE]
    hexadecimal = lambda value: None if value is None else value.hex()
    return {
        "iss": claims[1],
        "aud": claims[3],
        "exp": claims[4],
        "iat": claims[6],
        "nonce": hexadecimal(claims.get(10)),
        "organization": state[2].hex(),
        "site": state[3].hex(),
        "group": hexadecimal(state.get(4)),
        "state": state[5],
        "findings": state[6],
        "schedule": state[7],
        "offline_lock": state[8],
        "epoch": state[9],
        "sequence": state[10],
        "coterm": state[11],
    }


def verify(request):
    x, token = bytes.fromhex(request["x"]), bytes.fromhex(request["token"])
    protected, unprotected, payload = COSE.new().decode_with_headers(token, public(x))
    assert protected == {1: EDDSA_25519, 4: kid_of(x), 16: TOKEN_TYPE}, protected
    assert unprotected == {}, unprotected
    claims = cbor2.loads(payload)
    assert cbor2.dumps(claims, canonical=True) == payload, "not the canonical encoding"
    # The CWT layer above it looks at the standard claims, and agrees. It refuses what has expired, as we must not.
    if claims[4] > time.time():
        standard = cwt.decode(token, public(x))
        assert standard == claims, standard
    return {"claims": described(claims)}


def document(request):
    keys = [public(bytes.fromhex(x)) for x in request["keys"]]
    tagged = cbor2.loads(bytes.fromhex(request["document"]))
    assert tagged.tag == 98, tagged.tag
    assert cbor2.loads(tagged.value[0]) == {16: request["type"]}, tagged.value[0]
    assert len(tagged.value[3]) == len(keys)
    content = None
    # Asked for each key alone, so that every signature is verified and not only the first that fits.
    for key in keys:
        content = COSE.new().decode(bytes.fromhex(request["document"]), [key])
    assert content == tagged.value[2]
    return {"content": content.hex()}


for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = {"make": make, "verify": verify, "document": document}[request["do"]](request)
    except AssertionError:
        raise
    except Exception as refused:  # The peer has an error of its own for everything it refuses.
        answer = {"refused": f"{type(refused).__name__}: {refused}"}
    print(json.dumps(answer), flush=True)

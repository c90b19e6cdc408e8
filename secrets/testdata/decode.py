"""Decodes what FORMAT.md describes, written from it alone.

Reads the test vectors and prints, for each keyring file, the value of its
secret, after checking tenant key, head key, MAC and envelope. Wants Debian's
python3-cryptography.
"""
import hashlib, hmac, json, struct, sys
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand


def fields(*values):
    out = b""
    for v in values:
        b = struct.pack(">Q", v) if isinstance(v, int) else v if isinstance(v, bytes) else v.encode()
        out += struct.pack(">I", len(b)) + b
    return out


def expand(key, info, n):
    return HKDFExpand(SHA256(), n, info).derive(key)


def gcm(key, sealed, about):
    return AESGCM(key).decrypt(sealed[:12], sealed[12:], about)


def envelope(key, sealed, context):
    assert sealed[0] == 1 and len(sealed) >= 174 and sealed[1] == 1
    info = b"lockkeeper envelope v1" + hashlib.sha256(sealed[2:54] + context).digest()
    okm = expand(key, info, 64)
    assert hmac.compare_digest(okm[32:], sealed[54:86]), "commitment"
    data_key = gcm(okm[:32], sealed[86:146], sealed[:86] + context)
    return gcm(data_key, sealed[146:], sealed[:2] + context)


def place(e):
    return fields(*(e[k] for k in ("deployment", "table", "tenant", "id", "version", "kind", "created", "expires")))


def whole(v):
    e, h = v["secret"], v["head"]
    sealed = bytes.fromhex(e["sealed"])
    key = bytes.fromhex(e["tenant_key"])
    head_key = envelope(key, bytes.fromhex(v["head_key"]["sealed"]), place(v["head_key"]))
    over = fields("lockkeeper head v1", e["deployment"], e["tenant"], e["id"], e["kind"], h["scope"], h["revision"],
                  h["current"], h["oldest"], 0, h["created"], h["changed"], h["expires"], h["due"])
    assert hmac.new(head_key, over, "sha256").hexdigest() == h["mac"], "MAC of the head"
    plain = envelope(key, sealed, place(e))
    n = struct.unpack(">I", plain[:4])[0]
    assert json.loads(plain[4:4 + n])["kind"] == e["kind"]
    return plain[4 + n:].decode()


if __name__ == "__main__":
    for v in json.load(open(sys.argv[1])):
        print(whole(v))

"""Decodes the keyring files that FORMAT.md describes, of both formats.

Prints, for each file of the test vectors, every tenant's keys with the version of
the root key that each is under. Wants Debian's python3-cryptography, and for files
with a passphrase python3-argon2 or a cryptography that has Argon2id (44 or later).
"""
import base64, hashlib, hmac, json, struct, sys
from decode import expand, fields, gcm

FIRST, SECOND = "lockkeeper keyring 1", "lockkeeper keyring 2"


def b64(s):
    return base64.b64decode(s, validate=True)


def passkey(kdf, passphrase):
    salt, time, memory, lanes = b64(kdf["salt"]), kdf["time"], kdf["memory_kib"], kdf["threads"]
    try:
        from argon2.low_level import Type, hash_secret_raw
        return hash_secret_raw(passphrase.encode(), salt, time, memory, lanes, 32, Type.ID)
    except ImportError:
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
        return Argon2id(salt=salt, length=32, iterations=time, lanes=lanes, memory_cost=memory).derive(passphrase.encode())


def roots(text, passphrase):
    f = json.loads(text)
    newest = f.get("version", 1)
    assert (f["format"], newest > 1) in ((FIRST, False), (SECOND, True)), "format"
    root = b64(f["root"])
    if "kdf" in f:
        root = gcm(passkey(f["kdf"], passphrase), root, f["format"].encode())
    head, check = text[:text.rindex('"check":')], b64(f["check"])
    over = (head + '"check":null}').encode()
    assert hmac.compare_digest(hmac.new(expand(root, b"lockkeeper keyring check v1", 32), over, "sha256").digest(), check), "check"
    out = {newest: root}
    for o in f.get("older", []):
        sealer = expand(root, b"lockkeeper keyring older v1", 32)
        out[o["version"]] = gcm(sealer, b64(o["root"]), struct.pack(">I", o["version"]))
    return f, out


def tenants(f, by):
    for tenant, keys in sorted(f.get("keys", {}).items()):
        for k in keys:
            wrapped, under = b64(k["wrapped"]), 1
            if len(wrapped) > 60:
                under, wrapped = struct.unpack(">I", wrapped[:4])[0], wrapped[4:]
                assert len(wrapped) == 60 and under > 1, "wrap"
            context = fields("default", "tenant keys", tenant, b64(k["id"]), k["version"], "kek", 0, 0)
            key = gcm(expand(by[under], b"lockkeeper keyring wrap v1", 32), wrapped, context)
            yield f"{tenant} {k['version']} {under} {key.hex()}"


if __name__ == "__main__":
    for v in json.load(open(sys.argv[1])):
        for line in tenants(*roots(v["file"], v["passphrase"])):
            print(line)

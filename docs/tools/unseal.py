# Opens a Resurgo backup (repository format 1) with Python 3 and its `cryptography` package. Usage:
#   python3 unseal.py KEYS.json BACKUP                      the index, still compressed, to standard output
#   python3 unseal.py KEYS.json BACKUP INDEX.json STREAM    a stream, still compressed, to standard output
# KEYS.json is what `age -d` gives for keys/<id>/1.age; BACKUP is the directory that holds manifest.json.
import base64, hashlib, json, sys
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

keys = json.load(open(sys.argv[1]))
backup = sys.argv[2]


def read(name):
    with open(f"{backup}/{name}", "rb") as file:
        return file.read()


def unseal(sealed, key, number, name):
    nonce = number.to_bytes(12, "big")  # part number, zero for the index
    bound = f"resurgo/1|{keys['backup']}|{keys['attempt']}|{name}".encode()
    return AESGCM(base64.b64decode(key)).decrypt(nonce, sealed, bound)  # raises InvalidTag if it was altered


if len(sys.argv) == 3:
    sys.stdout.buffer.write(unseal(read("index"), keys["metadataKey"], 0, "index"))
else:
    for part in json.load(open(sys.argv[3]))["parts"]:
        if part["stream"] == sys.argv[4]:
            sealed = read(f"parts/{keys['attempt']}-{part['n']:06d}")
            if hashlib.sha256(sealed).hexdigest() != part["sha256"]:
                sys.exit(f"part {part['n']} is damaged")
            sys.stdout.buffer.write(unseal(sealed, keys["dataKey"], part["n"], f"part|{part['n']}"))

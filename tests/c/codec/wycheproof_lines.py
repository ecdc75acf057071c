"""Wycheproof's vectors as lines of hex for test_wycheproof.c: `wycheproof_lines.py aes_gcm|hkdf`.

aes_gcm: id key iv aad msg ct tag result          hkdf: id ikm salt info size okm result
An empty field is `-`. Nothing is printed where the vectors are absent.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

FILES = {"aes_gcm": "wycheproof_aes_gcm_test", "hkdf": "wycheproof_hkdf_sha256_test"}
FIELDS = {
    "aes_gcm": ("tcId", "key", "iv", "aad", "msg", "ct", "tag", "result"),
    "hkdf": ("tcId", "ikm", "salt", "info", "size", "okm", "result"),
}


def is_ours(kind: str, group: dict[str, object]) -> bool:
    """Of AES-GCM only what the core uses."""
    sizes = (group.get("keySize"), group.get("ivSize"), group.get("tagSize"))
    return kind == "hkdf" or sizes == (256, 96, 128)


def main() -> None:
    kind = sys.argv[1]
    shared = Path(os.environ.get("COFFER_SHARED", "../shared"))
    packed = shared / "data" / "vectors" / f"{FILES[kind]}.json.zst"
    if not packed.exists():
        return
    text = subprocess.run(["zstd", "-dc", packed], check=True, capture_output=True).stdout
    for group in json.loads(text)["testGroups"]:
        for test in group["tests"] if is_ours(kind, group) else ():
            print(*(str(test[name]) or "-" for name in FIELDS[kind]))


if __name__ == "__main__":
    main()

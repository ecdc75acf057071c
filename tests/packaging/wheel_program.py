"""What an installed coffer has to do, run by test_wheel.py with an interpreter that has nothing but coffer: URL [URL...]."""

from __future__ import annotations

import base64
import hashlib
import ssl
import sys
import threading
from pathlib import Path

import coffer

TEXT = "the same words over and over. " * 400
SECRET = "a secret of nobody else's"
KEY = base64.b64encode(hashlib.sha256(b"a key of this test").digest()).decode()


def assert_installed() -> None:
    """Both the package and its extension come from this environment, and from no tree."""
    for file in (coffer.__file__, coffer._coffer_core.__file__):
        assert file is not None and Path(sys.prefix) in Path(file).parents, file
    assert sys.prefix != sys.base_prefix
    assert str(coffer._coffer_core.__file__).endswith(".abi3.so")


def plain(url: str) -> None:
    with coffer.Cache(url, prefix="wheel", namespace="plain") as cache:
        cache.set("value", {"retries": 3, "hosts": ["a", "b"]}, ttl="5m")
        assert cache.get("value") == {"retries": 3, "hosts": ["a", "b"]}
        assert cache.get("nothing", default="none") == "none"
        cache.set("text", TEXT)
        assert cache.get("text") == TEXT
        assert cache.get_or_load("loaded", lambda key: key.upper()) == "LOADED"
        try:
            cache.set("value", b"", ttl=-1)
        except coffer.Error as fault:
            assert isinstance(fault, ValueError)
        else:
            raise AssertionError("a negative time to live was taken")


def sealed(url: str) -> None:
    with coffer.Cache(url, prefix="wheel", namespace="sealed", seal_key=KEY, compress="trusted") as cache:
        cache.set("value", SECRET)
        cache.set("text", TEXT)
        assert cache.get("value") == SECRET
        assert cache.get("text") == TEXT
        threads = [threading.Thread(target=cache.get, args=("text",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    other = base64.b64encode(bytes(range(32))).decode()
    if not url.startswith("mem:"):
        with coffer.Cache(url, prefix="wheel", namespace="sealed", seal_key=other) as cache:
            assert cache.get("value") is None


def main(urls: list[str]) -> None:
    assert_installed()
    for url in urls:
        plain(url)
        sealed(url)
        # Python's own OpenSSL lives in the same process, beside the one in the extension.
        ssl.create_default_context()
        assert hashlib.new("sha256", b"").hexdigest().startswith("e3b0c442")
        sealed(url)
    print(f"coffer {coffer.__version__} works")


main(sys.argv[1:])

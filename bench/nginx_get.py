"""GETs in one nginx worker, by several light threads at once: nginx_get.py CLIENT PORT COUNT THREADS

Starts an nginx of its own, asks it once (nginx_get.lua), and prints the line of JSON that it answers: GETs a second. LUA_PEERS
names the folder with the Lua peers.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = Path("/usr/lib/nginx/modules")
START_S = 5.0

CONFIG = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    lua_shared_dict bench 10m;
    lua_package_path "{lua}/?.lua;{peers}/?.lua;;";
    lua_package_cpath "{lua}/?.so;;";
    lua_socket_log_errors off;
    server {{
        listen 127.0.0.1:{port};
        location / {{ content_by_lua_file {root}/bench/nginx_get.lua; }}
    }}
}}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def ask(url: str, nginx: subprocess.Popen[bytes]) -> str:
    """Asked again until it listens."""
    until = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=300) as answer:
                text: str = answer.read().decode()
                return text
        except urllib.error.HTTPError:
            raise
        except OSError:
            if nginx.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.02)


def main() -> None:
    client, port, count, threads = sys.argv[1:5]
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None or not (MODULES / "ngx_http_lua_module.so").exists():
        raise SystemExit("nginx with its Lua module is not installed (./dev deps --all)")
    peers = os.environ.get("LUA_PEERS", "")
    if not client.startswith(("coffer", "empty", "shared-dict")) and not peers:
        raise SystemExit("LUA_PEERS names no folder with the Lua peers")
    with tempfile.TemporaryDirectory(prefix="coffer-bench-") as name:
        folder, own = Path(name), free_port()
        config = folder / "nginx.conf"
        config.write_text(
            CONFIG.format(folder=folder, modules=MODULES, lua=ROOT / "build/lua/5.1", peers=peers or folder, port=own, root=ROOT)
        )
        command = [program, "-p", name, "-e", str(folder / "error.log"), "-c", str(config)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as nginx:
            try:
                print(ask(f"http://127.0.0.1:{own}/?client={client}&port={port}&count={count}&threads={threads}", nginx), end="")
            except OSError as fault:
                log = (folder / "error.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
                raise SystemExit(log[-1] if log else str(fault)) from fault
            finally:
                nginx.terminate()


if __name__ == "__main__":
    main()

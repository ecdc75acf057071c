"""In a real nginx: a blocking call inside of a request is refused, mem:// is not; both may be opened before."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from interpreters import MODULES
from support import RedisServer, free_port, wait_until

NGINX_MODULES = Path("/usr/lib/nginx/modules")

CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    lua_package_path "{lua}/?.lua;;";
    lua_package_cpath "{lua}/?.so;;";
    init_by_lua_block {{
        local coffer = require "coffer"
        memory = assert(coffer.open("mem://"))
        server = assert(coffer.open("{url}"))
        assert(server:set("before", "set in init"))
    }}
    server {{
        listen 127.0.0.1:{port};
        location /memory {{
            content_by_lua_block {{
                assert(memory:increment("visits"))
                ngx.say(memory:get_or_load("k", function() return {{n = 1}} end).n, " ", memory:counter("visits"))
            }}
        }}
        location /content {{
            content_by_lua_block {{ ngx.say(select(2, pcall(server.get, server, "before"))) }}
        }}
        location /access {{
            access_by_lua_block {{ ngx.ctx.said = select(2, pcall(server.set, server, "before", 1)) }}
            content_by_lua_block {{ ngx.say(ngx.ctx.said) }}
        }}
        location /null {{
            content_by_lua_block {{ ngx.say(tostring(ngx.null == require("coffer").null)) }}
        }}
    }}
}}
"""


@pytest.fixture(scope="module")
def address(shared_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None or not (NGINX_MODULES / "ngx_http_lua_module.so").exists():
        pytest.skip("nginx with its Lua module is not installed (./dev deps --all)")
    if not (MODULES / "5.1" / "coffer" / "core.so").exists():
        pytest.skip("the module for LuaJIT is not built (./dev build)")
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    config = folder / "nginx.conf"
    text = CONFIG.format(folder=folder, modules=NGINX_MODULES, lua=MODULES / "5.1", url=shared_server.url, port=port)
    config.write_text(text, encoding="utf-8")
    command = [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as nginx:
        try:
            wait_until(lambda: is_answering(port, nginx, folder))
            yield port
        finally:
            nginx.terminate()


def is_answering(port: int, nginx: subprocess.Popen[bytes], folder: Path) -> bool:
    assert nginx.poll() is None, (folder / "error.log").read_text(encoding="utf-8")
    try:
        return asked(port, "/null") != ""
    except OSError:
        return False


def asked(port: int, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("phase", ["content", "access"])
def test_a_call_that_may_wait_is_refused_inside_of_a_request(address: int, phase: str) -> None:
    assert f"would stop this nginx worker (phase {phase})" in asked(address, f"/{phase}")


def test_memory_is_used_inside_of_requests(address: int) -> None:
    assert asked(address, "/memory") == "1 1\n"
    assert asked(address, "/memory") == "1 2\n"


def test_null_is_what_nginx_calls_null(address: int) -> None:
    assert asked(address, "/null") == "true\n"

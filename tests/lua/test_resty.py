"""resty.coffer in a real nginx with two workers: what a call of it answers, in each kind of phase. tests/nginx has the rest."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from interpreters import MODULES, ROOT
from support import RedisServer, Resp, free_port, wait_until

NGINX_MODULES = Path("/usr/lib/nginx/modules")

HEAD = """
daemon off;
worker_processes 2;
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
"""

HTTP = """
    init_by_lua_block {
        coffer = require "resty.coffer"
        cache = assert(coffer.new("n", {url = "SERVER", ttl = "10m"}))
        function show(...)
            local words, count = {}, 1
            for i = 1, select("#", ...) do
                words[i] = tostring((select(i, ...)))
                count = select(i, ...) ~= nil and i or count
            end
            return table.concat(words, " ", 1, math.min(count, #words))
        end
        in_init = show(cache:get("k"))
    }
    server {
        listen 127.0.0.1:PORT;
        location / { return 204; }
        location /run {
            content_by_lua_block {
                ngx.req.read_body()
                ngx.print(show(select(2, pcall(assert(loadstring(ngx.req.get_body_data()))))))
            }
        }
        location /log {
            content_by_lua_block { ngx.print(show(cache:get("k"))) }
            log_by_lua_block { logged = {show(cache:increment("visits")), show(cache:get("k"))} }
        }
    }
"""


class Nginx:
    def __init__(self, folder: Path, url: str, http_text: str = HTTP) -> None:
        program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
        if program is None or not (NGINX_MODULES / "ngx_http_lua_module.so").exists():
            pytest.skip("nginx with its Lua module is not installed (./dev deps --all)")
        if not (MODULES / "5.1" / "coffer" / "core.so").exists():
            pytest.skip("the module for LuaJIT is not built (./dev build)")
        self.folder, self.port, self.url = folder, free_port(), url
        config = folder / "nginx.conf"
        head = HEAD.format(folder=folder, modules=NGINX_MODULES, lua=MODULES / "5.1")
        text = http_text.replace("SERVER", url).replace("PORT", str(self.port))
        config.write_text(head + text + "}\n", encoding="utf-8")
        command = [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._is_answering)

    def _is_answering(self) -> bool:
        assert self.process.poll() is None, self.log()
        try:
            self.ask("/")
        except OSError:
            return False
        return True

    def log(self) -> str:
        return (self.folder / "error.log").read_text(encoding="utf-8")

    def ask(self, path: str, body: str = "") -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("POST", path, body)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def run(self, code: str) -> str:
        """What the code returns, or raises, in the content phase."""
        return self.ask("/run", code)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture(scope="module")
def started(shared_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    nginx = Nginx(tmp_path_factory.mktemp("nginx"), shared_server.url)
    yield nginx
    nginx.stop()
    assert "[error]" not in nginx.log()


@pytest.fixture
def nginx(started: Nginx, server: RedisServer) -> Nginx:
    """With an empty server behind it."""
    return started


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ('return cache:set("k", nil, {n = 1}), cache:get("k").n', "true 1"),
        ('return cache:get("k")', "nil"),
        ('cache:set("k", {ttl = "1h"}, 5) return cache:get("k")', "5 nil remote"),
        ('return cache:get("k", nil, function(a, b) ngx.sleep(0.01) return a .. b end, "x", "y")', "xy nil loaded"),
        ('return cache:get("k", nil, function() return nil end)', "nil nil negative"),
        ('return cache:get("k", nil, function() return nil, "no database" end)', "nil no database LOAD_FAILED"),
        ('cache:get("k", nil, function() return 1, nil, -1 end) return cache:get("k")', "nil"),
        ('cache:get("k", nil, function() return 1, nil, 2 end) return cache:ttl("k") < 3', "true"),
        ('return cache:get("k", nil, function() return cache:get("k", nil, function() end) end) ~= nil', "false"),
        ('cache:set("k") return cache:peek("k")', "inf nil nil false"),
        ('cache:set("k", nil, 7) local ttl, _, value = cache:peek("k") return ttl > 500, value', "true 7"),
        ('return cache:peek("k")', "nil"),
        ('return cache:add("k", 1), cache:add("k", 2), cache:replace("k", 3), cache:get("k")', "true false true 3 nil remote"),
        ('return cache:increment("k", 5), cache:counter("k"), cache:reset_counter("k")', "5 5 true"),
        ('cache:set_many({a = 1, b = 2}) return cache:get_many({"a", "b", "c"}).b, cache:delete_many({"a", "c"})', "2 1"),
        ('return cache:namespace("other"):set("k", nil, 1), cache:exists("k"), cache:ping()', "true false true"),
        ('return cache:cached("f", function(n) return n * 2 end).refresh(4)', "8 nil loaded"),
        (
            'return coffer.new("n", {lru_size = 5})',
            "nil there is no option lru_size: near_objects keeps so many values in the worker's Lua memory (with near) OPTION",
        ),
    ],
)
def test_a_call_answers(nginx: Nginx, code: str, answer: str) -> None:
    assert nginx.run(code) == answer


def test_a_bulk_runs_each_callback_once(nginx: Nginx) -> None:
    code = """
        cache:set("a", nil, "there")
        local bulk = coffer.new_bulk(4)
        bulk:add("a")
        local run = 0
        for i = 1, 2 do
            bulk:add("b", nil, function(x) run = run + 1; ngx.sleep(0.02) return x end, "loaded here")
        end
        bulk:add("c")
        local words = {}
        for i, value, err, source in coffer.each_bulk_res(assert(cache:get_bulk(bulk))) do
            words[i] = show(i, value, err, source)
        end
        return table.concat(words, ", "), run"""
    assert nginx.run(code) == "1 there nil remote, 2 loaded here nil loaded, 3 loaded here nil loaded, 4 1"


def test_light_threads_share_a_connection_and_their_answers_are_their_own(nginx: Nginx) -> None:
    code = """
        local threads, right = {}, 0
        for i = 1, 50 do
            threads[i] = ngx.thread.spawn(function()
                for j = 1, 20 do
                    assert(cache:set("k" .. i, nil, i * 1000 + j))
                    local is_right = cache:get("k" .. i) == i * 1000 + j
                    right = right + (is_right and 1 or 0)
                end
            end)
        end
        for i = 1, 50 do assert(ngx.thread.wait(threads[i])) end
        return right, cache:stats().pool.open"""
    assert nginx.run(code) == "1000 1"


def test_a_phase_that_cannot_wait_reads_nothing_and_writes_later(nginx: Nginx) -> None:
    assert nginx.run("return in_init") == "nil nginx's phase init cannot ask a server UNSUPPORTED"
    assert nginx.ask("/log") == "nil"
    wait_until(lambda: nginx.run('return cache:counter("visits")') == "1")


def test_an_unused_connection_goes_into_the_pool_and_comes_back(nginx: Nginx) -> None:
    nginx.run('return cache:set("k", nil, 1)')
    wait_until(lambda: nginx.run("return ngx.timer.running_count()") == "0")
    assert nginx.run('return cache:get("k")') == "1 nil remote"


def test_a_blocking_call_says_what_to_use_instead(nginx: Nginx) -> None:
    code = 'return pcall(function() return require("coffer").open("redis://127.0.0.1:1/0"):get("k") end)'
    assert 'require "resty.coffer" has the same calls for nginx' in nginx.run(code)


LOGIN = """
    local cache = assert(coffer.new("n", {url = "%s", on_outage = "error", client_name = "asks", %s}))
    return cache:set("k", nil, 1)"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that nginx's workers may read, who are another user's where the master is root's."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ('credentials = function() ngx.sleep(0.01) return "app", "right" end', "true"),
        ('credentials = function() return "app", "wrong" end', "AUTH"),
        ('credentials = function() error("canary") end', "CREDENTIALS"),
        ('username = "app", password_file = "{folder}/password"', "true"),
        ('username = "app", password_file = "{folder}/none"', "CREDENTIALS"),
    ],
)
def test_it_logs_in_as_it_is_told(nginx: Nginx, raw: Resp, folder: Path, options: str, answer: str) -> None:
    (folder / "password").write_text("right\n", encoding="utf-8")
    raw.call("ACL", "SETUSER", "app", "on", ">right", "~*", "+@all")
    said = nginx.run(LOGIN % (nginx.url, options.replace("{folder}", str(folder))))
    assert said.split(" ")[-1] == answer and "canary" not in said
    if answer == "true":
        assert any(b"name=asks" in line and b"user=app" in line for line in cast(bytes, raw.call("CLIENT", "LIST")).splitlines())
    raw.call("ACL", "DELUSER", "app")


@pytest.mark.parametrize(
    ("limits", "busy", "why"),
    [
        (
            "lua_max_running_timers 1;",
            "ngx.timer.at(0, function() ngx.sleep(9) end) ngx.sleep(0)",
            "lua_max_running_timers may be too small",
        ),
        ("lua_max_pending_timers 1;", "for _ = 1, 2 do ngx.timer.at(9, function() end) end", "too many pending timers"),
    ],
    ids=["running", "pending"],
)
def test_where_nginx_gives_no_timer_it_says_so(server: RedisServer, tmp_path: Path, limits: str, busy: str, why: str) -> None:
    nginx = Nginx(tmp_path, server.url, limits + HTTP.replace('ttl = "10m"', 'on_outage = "error"'))
    try:
        said = nginx.run(f'{busy} return cache:get("k")')
        assert said.endswith(" CONNECT") and why in said
    finally:
        nginx.stop()


@pytest.mark.parametrize(
    ("file", "path", "answers"), [("README.md", "/user?id=7", "Ada {}"), ("docs/openresty.md", "/users/7", "Ada ({})")]
)
def test_the_configuration_in_the_documentation_runs(server: RedisServer, tmp_path: Path, file: str, path: str, answers: str) -> None:
    (fence,) = re.findall(r"^```nginx\n(.*?)^```$", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    text = re.sub(r"^http \{\n(.*)^\}\n", r"\1", fence, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^ *lua_package_c?path .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"redis://[\d.:]+/0", "SERVER", text).replace("listen 8080;", "listen 127.0.0.1:PORT;")
    nginx = Nginx(tmp_path, server.url, text)
    try:
        assert nginx.ask(path) == answers.format("loaded") + "\n"
        assert nginx.ask(path) == answers.format("remote") + "\n"
    finally:
        nginx.stop()


def test_a_worker_that_exits_waits_for_no_connection(shared_server: RedisServer, tmp_path: Path) -> None:
    nginx = Nginx(tmp_path, shared_server.url)
    try:
        assert nginx.run('return cache:set("k", nil, 1)') == "true"
        nginx.process.send_signal(3)  # QUIT: gracefully
        assert nginx.process.wait(3) == 0
    finally:
        nginx.process.kill()
        nginx.process.wait(10)

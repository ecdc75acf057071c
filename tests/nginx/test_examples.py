"""The programs of examples/openresty and of docs/openresty.md, as they stand but for the ports: what is said of them is what they do."""

from __future__ import annotations

import getpass
import http.client
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hosting import LUA, NGINX_MODULES, ROOT, Process, program, running
from support import RedisServer, Resp, free_port, together, wait_until

EXAMPLES = ROOT / "examples" / "openresty"
MODULES = "".join(f"load_module {NGINX_MODULES}/{name}.so; " for name in ("ndk_http_module", "ngx_http_lua_module"))


class Example(Process):
    """Its ports and Redis' are changed to free ones; where it may write is said, as the packager of an nginx would."""

    def __init__(self, folder: Path, text: str, url: str) -> None:
        program()
        port, other = free_port(), free_port()
        for old, new in {"listen 8080": f"listen 127.0.0.1:{port}", "8081": str(other), "redis://127.0.0.1:6379/0": url}.items():
            text = text.replace(old, new)
        text = re.sub(r"listen (\d+);", r"listen 127.0.0.1:\1;", text)
        places = "".join(f"{kind}_temp_path {folder}/{kind}; " for kind in ("proxy", "fastcgi", "uwsgi", "scgi", "client_body"))
        text = text.replace("http {", f"http {{ access_log off; {places}", 1)
        config = folder / "example.conf"
        config.write_text(f"daemon off; worker_processes 2; pid nginx.pid; user {getpass.getuser()}; {MODULES}\n{text}", encoding="utf-8")
        super().__init__(folder, config, port, {"LUA_PATH": f"{LUA}/?.lua;;", "LUA_CPATH": f"{LUA}/?.so;;"})

    def headers(self, path: str) -> http.client.HTTPMessage:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            return connection.getresponse().headers
        finally:
            connection.close()

    def ask(self, path: str, method: str = "GET", body: str | None = None, **headers: str) -> tuple[int, str | None, str]:
        """Status, where it is from, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return response.status, response.headers["X-Cache"], response.read().decode()
        finally:
            connection.close()


def text_of(name: str) -> str:
    return (EXAMPLES / name).read_text(encoding="utf-8")


def fence(document: str) -> str:
    """The program of the document; where the module is, is said by LUA_PATH here."""
    found = re.search(r"^```nginx\n(.*?)^```$", (ROOT / "docs" / document).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    return "events {}\n" + re.sub(r" *lua_package_c?path .*\n", "", found[1])


@pytest.fixture
def responses(server: RedisServer, tmp_path: Path) -> Iterator[Example]:
    with running(Example(tmp_path, text_of("responses.conf"), server.url)) as example:
        yield example


@pytest.fixture
def database(server: RedisServer, tmp_path: Path) -> Iterator[Example]:
    with running(Example(tmp_path, text_of("database.conf"), server.url)) as example:
        yield example


# ---- responses ----


def test_a_page_is_made_once(responses: Example) -> None:
    first = responses.ask("/some/page?a=1")
    assert first[:2] == (200, "loaded") and "/some/page?a=1" in first[2]
    assert responses.ask("/some/page?a=1") == (200, "remote", first[2])
    assert responses.ask("/some/page?a=2")[1] == "loaded"
    assert responses.ask("/some/page?a=1", Accept_Language="de")[1] == "loaded"
    assert responses.ask("/some/page?a=1", "HEAD") == (200, "remote", "")


def test_one_asks_the_backend_for_all_who_wait(responses: Example) -> None:
    answers: list[Any] = together(20, lambda _: responses.ask("/wanted"))
    assert len({body for _, _, body in answers}) <= 2


def test_what_is_meant_for_one_reader_is_kept_for_nobody(responses: Example) -> None:
    assert responses.ask("/private")[:2] == responses.ask("/private")[:2] == (200, "loaded")
    assert responses.ask("/page", Cookie="session=1")[:2] == (200, None)
    assert responses.ask("/page", Authorization="Bearer x")[:2] == (200, None)
    assert responses.ask("/page", "POST", "x")[:2] == (200, None)
    assert responses.ask("/page")[1] == "loaded"


def test_a_backend_that_fails_is_told(responses: Example) -> None:
    assert responses.ask("/fails")[0] == 502
    assert "the backend answers 503" in responses.log()


# ---- database ----


def queries(database: Example, how: str = "") -> int:
    return int(database.ask("/database" + how)[2].split()[0])


def test_a_row_is_asked_for_once(database: Example) -> None:
    assert database.ask("/users/1") == (200, "loaded", "1 Ada\n")
    assert database.ask("/users/1") == (200, "remote", "1 Ada\n")
    assert queries(database) == 1


def test_one_query_for_all_who_ask_at_once(database: Example) -> None:
    answers: list[Any] = together(30, lambda _: database.ask("/users/2"))
    assert {one[2] for one in answers} == {"2 Barbara\n"}
    assert queries(database) <= 2  # a worker


def test_that_there_is_none_is_remembered(database: Example) -> None:
    assert [database.ask("/users/3")[0] for _ in range(5)] == [404] * 5
    assert queries(database) == 1


def test_a_write_is_seen_by_the_next_reader(database: Example) -> None:
    assert database.ask("/users/1")[2] == "1 Ada\n"
    assert database.ask("/users/1", "PUT", "Grace")[0] == 204
    assert database.ask("/users/1") == (200, "loaded", "1 Grace\n")
    assert database.ask("/users/9", "PUT", "Hopper")[0] == 204
    assert database.ask("/users/9")[2] == "9 Hopper\n"


def test_a_database_that_is_down_takes_down_only_what_is_not_kept(database: Example) -> None:
    database.ask("/users/1")
    queries(database, "?down=yes")
    assert database.ask("/users/1") == (200, "remote", "1 Ada\n")
    assert database.ask("/users/2")[0] == 502
    assert database.ask("/users/1", "PUT", "Grace")[0] == 502
    assert "the database answers 503" in database.log()
    queries(database, "?down=no")
    assert database.ask("/users/2")[0] == 200


# ---- both ----


@pytest.mark.parametrize("name", ["responses.conf", "database.conf"])
def test_without_redis_they_go_on(tmp_path: Path, name: str) -> None:
    with running(Example(tmp_path, text_of(name), f"redis://127.0.0.1:{free_port()}/0?timeout=500ms")) as example:
        for _ in range(5):
            assert example.ask("/users/1")[0] == 200
        wait_until(lambda: example.ask("/users/1")[1] == "loaded")


def test_the_program_of_the_document(server: RedisServer, raw: Resp, tmp_path: Path) -> None:
    with running(Example(tmp_path, fence("openresty.md"), server.url)) as example:
        assert example.ask("/users/42")[::2] == (200, "Ada (loaded)\n")
        assert example.ask("/users/42")[::2] == (200, "Ada (remote)\n")
        wait_until(lambda: len(raw.call("KEYS", "*#requests")) == 1)  # type: ignore[arg-type]


def test_the_program_of_the_document_on_near_copies(server: RedisServer, tmp_path: Path) -> None:
    name = f"coffer-test-{tmp_path.name}"
    text = fence("near.md").replace('"shop"', f'"{name}"')
    try:
        with running(Example(tmp_path, text, server.url)) as example:
            assert example.ask("/a")[::2] == (200, "page /a (loaded)\n")
            wait_until(lambda: example.ask("/a")[2] == "page /a (near)\n")
            assert example.headers("/a")["X-Near"] == "yes"
            assert example.headers("/never")["X-Near"] == "no"
    finally:
        for path in Path("/dev/shm").glob(f"{name}.*"):
            path.unlink()

"""The exceptions are the status table's, and those that Python's own handlers catch."""

from __future__ import annotations

import builtins
import pickle

import pytest

import coffer
from coffer import _coffer_core as core
from coffer import _errors

pytestmark = pytest.mark.usefixtures("both")

STATUSES = [number for number in range(-999, 100) if core.coffer_status_name(number) != "UNKNOWN"]
IN_PYTHON_ONLY = {"Error", "ValueTypeError"}


def classes() -> dict[str, type[coffer.Error]]:
    found = {name: kind for name, kind in vars(_errors).items() if isinstance(kind, type) and issubclass(kind, coffer.Error)}
    return {name: kind for name, kind in found.items() if kind.__module__ == "coffer._errors"}


def test_the_table_and_the_classes_agree() -> None:
    named = {core.coffer_status_exception(status) for status in STATUSES} - {""}
    assert named == set(classes()) - IN_PYTHON_ONLY
    assert all(
        core.coffer_status_exception(status) for status in STATUSES if status < 0 and core.coffer_status_name(status) != "PLACEHOLDER"
    )
    assert len(STATUSES) > 50


@pytest.mark.parametrize("name", sorted(classes()))
def test_every_class_is_public_and_explained(name: str) -> None:
    kind = classes()[name]
    assert getattr(coffer, name) is kind
    assert name in coffer.__all__
    assert kind.__doc__


@pytest.mark.parametrize("status", [number for number in STATUSES if number < 0])
def test_every_error_is_made_of_its_status(status: int) -> None:
    error = _errors.error_of(status, "in words")
    assert isinstance(error, coffer.Error)
    assert error.status == core.coffer_status_name(status)
    assert str(error) == "in words"
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.status) == (type(error), "in words", error.status)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (coffer.TimeoutError, builtins.TimeoutError),
        (coffer.PoolTimeoutError, builtins.TimeoutError),
        (coffer.ConnectionError, builtins.ConnectionError),
        (coffer.MaybeAppliedError, builtins.ConnectionError),
        (coffer.ProtocolError, builtins.ConnectionError),
        (coffer.TlsError, builtins.ConnectionError),
        (coffer.CertificateError, coffer.TlsError),
        (coffer.CredentialsError, builtins.ConnectionError),
        (coffer.InterruptedError, builtins.InterruptedError),
        (coffer.PermissionDeniedError, builtins.PermissionError),
        (coffer.ArgumentError, ValueError),
        (coffer.ValueTypeError, TypeError),
        (coffer.OptionError, ValueError),
        (coffer.OutOfMemoryError, MemoryError),
        (coffer.UnsupportedError, NotImplementedError),
    ],
)
def test_the_builtin_of_the_same_meaning_catches_it(kind: type[coffer.Error], builtin: type[BaseException]) -> None:
    with pytest.raises(builtin):
        raise kind("in words", "STATUS")
    assert kind("in words").args == ("in words",)


def test_an_unknown_status_is_an_internal_error() -> None:
    assert type(_errors.error_of(-777, "in words")) is coffer.InternalError


def test_an_error_of_many_keys_names_them_to_the_program_alone() -> None:
    with coffer.Cache("redis://127.0.0.1:1", timeout="200ms", breaker=False, on_outage="error") as cache:
        for call in (lambda: cache.get_many(["a", "b"]), lambda: cache.set_many({"a": 1, "b": 2}), lambda: cache.delete_many(["a", "b"])):
            with pytest.raises(coffer.ConnectionError) as caught:
                call()
            assert caught.value.failed == {"a": "CONNECT", "b": "CONNECT"}
            assert repr(caught.value.failed) == "<2 keys>"
            assert len(pickle.loads(pickle.dumps(caught.value)).failed) == 0
        with pytest.raises(coffer.ConnectionError) as caught:
            cache.get("a")
        assert len(caught.value.failed) == 0

"""setuptools' build backend, which wants SWIG in a checkout only: a source distribution holds what SWIG makes."""

from __future__ import annotations

from pathlib import Path

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403  # the other hooks are as they are

Settings = dict[str, object] | None
SHIPPED_WRAPPER = Path(__file__).resolve().with_name("coffer_core_wrap.c")


def _swig() -> list[str]:
    return [] if SHIPPED_WRAPPER.exists() else ["swig >= 4.4.1"]


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    return [*build_meta.get_requires_for_build_wheel(config_settings), *_swig()]


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    return [*build_meta.get_requires_for_build_editable(config_settings), *_swig()]


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    return [*build_meta.get_requires_for_build_sdist(config_settings), *_swig()]

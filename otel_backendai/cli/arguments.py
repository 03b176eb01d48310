# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Checks of command line arguments. What is wrong is said in one sentence, with exit status 2."""

from urllib.parse import urlsplit

import click


class UsageError(click.ClickException):
    """The command cannot do what it was asked to, for a reason that the user can change."""

    exit_code = 2


def port_number(option: str, text: str) -> int:
    """A port from 0 to 65535. Raises :class:`UsageError` that names ``option``."""
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= 65535):
        raise UsageError(f"{option} must be a number from 0 to 65535")
    return int(text)


def receiver_url(option: str, text: str) -> str:
    """The base URL of an OTLP/HTTP receiver. Raises :class:`UsageError` that names ``option``."""
    return base_url(option, text, "http://127.0.0.1:4318")


def base_url(option: str, text: str, example: str) -> str:
    """The base URL of a server. Raises :class:`UsageError` that names ``option`` and gives ``example``."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not text.isprintable() or " " in text:
        raise UsageError(f"{option} must be a URL like {example}")
    return text

# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""Checks of command line arguments. What is wrong is said in one sentence, with exit status 2."""

from urllib.parse import urlsplit

import click
from yarl import URL


class UsageError(click.ClickException):
    """The command cannot do what it was asked to, for a reason that the user can change."""

    exit_code = 2


def port_number(option: str, text: str) -> int:
    """A port from 0 to 65535. Raises :class:`UsageError` that names ``option``."""
    return number(option, text, 0, 65535)


def number(option: str, text: str, least: int, most: int) -> int:
    """A number from ``least`` to ``most``, of six digits at the most. Raises :class:`UsageError`."""
    # Cut before it is a number: Python refuses to convert one of thousands of digits.
    digits = text.lstrip("0")[:7] or "0"
    if not (text.isascii() and text.isdigit() and least <= int(digits) <= most):
        raise UsageError(f"{option} must be a number from {least} to {most}")
    return int(digits)


def receiver_url(option: str, text: str) -> str:
    """The base URL of an OTLP/HTTP receiver. Raises :class:`UsageError` that names ``option``."""
    return base_url(option, text, "http://127.0.0.1:4318")


def base_url(option: str, text: str, example: str) -> str:
    """The base URL of a server. Raises :class:`UsageError` that names ``option`` and gives ``example``."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        if usable:
            # As the HTTP library reads it and writes it into a request: the user into a header, the host for the name
            # service.
            (URL(text).raw_host or "").encode("idna")
            f"{parts.username}{parts.password}".encode("latin-1")
    except ValueError:
        usable = False
    if not usable or not text.isprintable() or " " in text:
        raise UsageError(f"{option} must be a URL like {example}")
    return text

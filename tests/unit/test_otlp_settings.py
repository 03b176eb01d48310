# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The exporter's settings: what the environment says, and what is made of nonsense."""

import logging
import os
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from otel_backendai.otlp.endpoint import read_endpoint, tls_context
from otel_backendai.otlp.exporter import OtlpSpanExporter
from otel_backendai.otlp.settings import Settings, Signal, parse_headers, read_settings


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no setting of OpenTelemetry from outside."""
    for name in list(os.environ):
        if name.startswith("OTEL_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings so far."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("value", [None, "", "  "])
def test_defaults(value: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Those of the specification, also where a variable is set to nothing."""
    if value is not None:
        for name in (
            "ENDPOINT",
            "HEADERS",
            "TIMEOUT",
            "COMPRESSION",
            "CERTIFICATE",
            "CLIENT_CERTIFICATE",
            "CLIENT_KEY",
        ):
            monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
            monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_TRACES_{name}", value)
    assert read_settings("traces") == Settings("http://localhost:4318/v1/traces", {}, 10.0, "none")
    assert read_settings("logs").endpoint == "http://localhost:4318/v1/logs"
    assert not lines(caplog)


@pytest.mark.parametrize("signal", ["traces", "logs"])
def test_a_signal_s_own_setting_wins(signal: Signal, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each of them, and the other signal keeps the common one."""
    values = {
        "HEADERS": ("a=common", "b=own"),
        "TIMEOUT": ("3", "4.5"),
        "COMPRESSION": ("gzip", "deflate"),
        "CERTIFICATE": ("common.pem", "own.pem"),
        "CLIENT_CERTIFICATE": ("common.crt", "own.crt"),
        "CLIENT_KEY": ("common.key", "own.key"),
    }
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://common:1")
    monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", "http://own:2")
    for name, (common, own) in values.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", common)
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}", own)
    other: Signal = "logs" if signal == "traces" else "traces"
    own_settings = Settings("http://own:2", {"b": "own"}, 4.5, "deflate", "own.pem", "own.crt", "own.key")
    assert read_settings(signal) == own_settings
    common_url = f"http://common:1/v1/{other}"
    assert read_settings(other) == Settings(
        common_url, {"a": "common"}, 3.0, "gzip", "common.pem", "common.crt", "common.key"
    )


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://host", "http://host/v1/traces"),
        ("http://host:4318/", "http://host:4318/v1/traces"),
        ("https://host/otlp", "https://host/otlp/v1/traces"),
        (" http://host ", "http://host/v1/traces"),
    ],
)
def test_the_common_endpoint_is_a_base(base: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal's path is appended, with one slash; a signal's own endpoint is used as it is."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", base)
    assert read_settings("traces").endpoint == url
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", base)
    assert read_settings("traces").endpoint == base.strip()


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf", "1e999", "10s", "86401", "1e10"])
def test_a_time_out_that_is_none(value: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The default, and one warning."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", value)
    assert read_settings("traces").timeout == 10.0
    assert len(lines(caplog)) == 1


@pytest.mark.parametrize(("value", "compression"), [("GZIP", "gzip"), ("none", "none"), ("zstd", "none")])
def test_compression(
    value: str, compression: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In any case of letters; an unknown one is none, with a warning."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", value)
    assert read_settings("traces").compression == compression
    assert len(lines(caplog)) == (value == "zstd")


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("a=b", {"a": "b"}),
        ("a=b,c=d", {"a": "b", "c": "d"}),
        (" A = b , , C=%20d%2C ", {"a": "b", "c": "d,"}),
        ("authorization=Bearer abc==", {"authorization": "Bearer abc=="}),
        ("authorization=Bearer%20abc", {"authorization": "Bearer abc"}),
        ("a=", {"a": ""}),
        ("a=1,a=2", {"a": "2"}),
    ],
)
def test_headers(text: str, headers: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """Percent-encoded pairs by commas; spaces as people write them."""
    assert parse_headers(text) == headers
    assert not lines(caplog)


@pytest.mark.parametrize(
    "entry",
    ["secret", "=secret", "a%0d%0ab=secret", "a=secret%0d%0aX: y", "a b=secret", "a=secret%00", "a=secret%c3%a9"],
)
def test_what_is_no_header(entry: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is left out, above all what would smuggle another header in; the warning repeats nothing of it."""
    assert parse_headers(f"good=1,{entry},better=2") == {"good": "1", "better": "2"}
    (line,) = lines(caplog)
    assert "entry 2" in line
    assert "secret" not in line


def test_an_endpoint_taken_apart() -> None:
    """Host, port, path, credentials; what goes into log lines has neither credentials nor query."""
    endpoint = read_endpoint("https://me:s%3Acret@Example.ORG/a/b?key=secret#fragment")
    assert (endpoint.address.host, endpoint.address.port, endpoint.address.secure) == ("example.org", 443, True)
    assert endpoint.address.authorization == "Basic bWU6czpjcmV0"
    assert endpoint.target == "/a/b?key=secret"
    assert endpoint.base + endpoint.path == "https://example.org:443/a/b"
    assert "secret" not in endpoint.base + endpoint.path
    plain = read_endpoint("http://[::1]:4318")
    assert (plain.address.host, plain.base, plain.target) == ("::1", "http://[::1]:4318", "/")


@pytest.mark.parametrize(
    "url",
    [
        "secret:4318",
        "grpc://secret:4317",
        "http://",
        "http://:4318/secret",
        "http://secret:port",
        "http://secret:99999",
        "http://secret..org",
        "http://host/secret path",
        "http://host/secret\x01",
        "http://host/secret\u00e9",
        "http://[secret",
        "",
    ],
)
def test_an_endpoint_that_is_none(url: str) -> None:
    """An error that does not repeat the URL, which may hold credentials."""
    with pytest.raises(ValueError, match="OTLP endpoint") as caught:
        read_endpoint(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["socks5://secret:1", "https://secret:1", "http://secret:port"])
def test_a_proxy_that_is_none(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Likewise; nothing is sent past a proxy that the operator wants."""
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(ValueError, match="proxy") as caught:
        read_endpoint("http://host")
    assert "secret" not in str(caught.value)


def test_a_proxy_without_a_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    """`host:port`, as curl and others take it; only for its own scheme."""
    monkeypatch.setenv("http_proxy", "proxy.example.org:3128")
    proxy = read_endpoint("http://host").proxy
    assert proxy is not None
    assert (proxy.host, proxy.port, proxy.authorization) == ("proxy.example.org", 3128, None)
    assert read_endpoint("https://host").proxy is None


def test_files_of_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is missing or no certificate: an error when the exporter is made; over plain HTTP nothing is read."""
    missing = str(tmp_path / "missing.pem")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    for settings in (
        Settings("https://host", certificate=missing),
        Settings("https://host", certificate=str(nonsense)),
        Settings("https://host", client_certificate=missing),
        Settings("https://host", client_certificate=str(nonsense)),
    ):
        with pytest.raises(OSError, match=r"(?i)no such file|SSL|PEM"):
            tls_context(settings)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", missing)
    OtlpSpanExporter().shutdown()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://host")
    with pytest.raises(OSError, match=r"(?i)no such file"):
        OtlpSpanExporter()


def test_an_encrypted_key(tmp_path: Path) -> None:
    """An error: nobody is there to type a password at the terminal of a server."""
    client = trustme.CA().issue_cert("client@example.org")
    key = load_pem_private_key(client.private_key_pem.bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"password")
    encrypted = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    file = tmp_path / "both.pem"
    file.write_bytes(encrypted + client.cert_chain_pems[0].bytes())
    with pytest.raises(OSError, match="SSL"):
        tls_context(Settings("https://host", client_certificate=str(file)))

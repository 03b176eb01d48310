# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""`collector-config.yaml` in a real Collector before a real Jaeger: what must not pass does not, the rest arrives."""

import json
import subprocess
from pathlib import Path

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanContext
from opentelemetry.util.types import Attributes

from otel_backendai.hops.noise import NOISE_PATHS, NOISE_RPC_METHODS
from otel_backendai.otlp.exporter import OtlpSpanExporter
from otel_backendai.otlp.settings import Settings
from otel_backendai.redaction import URL_ATTRIBUTES, redact_url
from tests.backends.servers import JSON, ROOT, Collector, Jaeger, eventually, post_otlp, run_collector, run_jaeger
from tests.backends.spans import Value, event, export, export_logs, log_record, span
from tests.integration.conftest import free_port
from tests.integration.otlp_receiver import Receiver

VALIDATE_TIMEOUT = 60
# Every planted secret holds this text, and nothing else does.
PLANTED = "s3cr3t"
# Secrets of a form of their own: an access key of Backend.AI, a JSON web token, a session of the web server.
ACCESS_KEY = "AKIAS3CR3T7EXAMPLE00"
WEB_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzM2NyM3QiOjF9.czNjcjN0"  # noqa: S105  # nobody's
WEB_SESSION = "0123456789abcdef0123456789abcdef"
SECRETS = (PLANTED, ACCESS_KEY, WEB_TOKEN, WEB_SESSION)
# What is added to the number of a span that is to be one that failed, or that did more than ask.
FAILED, POSTED = 1_000, 2_000
# Query parameters that Backend.AI of some release uses, and those that the HTTP conventions list.
PARAMETERS = [
    "token", "sToken", "auth_token", "auth-token", "session_token", "access_key", "accessKey", "secret_key",
    "api_key", "password", "signature", "X-Goog-Signature", "AWSAccessKeyId", "sig", "jwt", "credential",
    "permit_key", "permitKey", "access-key-id", "pwd", "authorization", "token[]", "code",
]  # fmt: skip
HEADERS = [
    "authorization", "proxy-authorization", "cookie", "x-backendai-token", "x_backendai_token", "x-auth-token",
    "x-backendai-storage-auth-token", "x-backendai-watcher-token", "x-backendai-sessionid", "x-api-key", "location",
    "referer", "x-backendai-sso", "x-forwarded-url", "x-csrftoken",
]  # fmt: skip
KEYS = [
    "access_key",
    "backendai.access_key",
    "accessKey",
    "user.secret_key",
    "api-key",
    "password",
    "enduser.token",
    "permit_key",
    "db.pwd",
]
TEXTS = [
    f"401 for GET https://storage/upload?token={PLANTED}&a=kept",
    f"401, url=URL('https://storage/upload?size=3&sig={PLANTED}') kept",
    f"Authorization: BackendAI signMethod=HMAC-SHA256, credential=AK{PLANTED}:{PLANTED} kept",
    f"authorization: Bearer {PLANTED} kept",
    f'{{"access_key": "{PLANTED}", "Cookie": "a={PLANTED}; b={PLANTED}", "kept": 1}}',
    f"{{'X-BackendAI-Token': '{PLANTED}', 'kept': 1}}",
    f"kept Cookie: AIOHTTP_SESSION={PLANTED}; other={PLANTED}",
    f"cannot connect to redis://user:{PLANTED}@redis:6379, kept",
    f"secret_key={PLANTED} kept",
    f"GET http://proxy:6041/v2/proxy/{PLANTED}/7c9e6679/add?app=kept",
    # As the web server and the manager of all releases write them.
    f"Authorization failed for token {PLANTED}: kept",
    f"Authorization failed for token {WEB_TOKEN}: kept",
    f"GET_INFO (ak:{ACCESS_KEY}/*, s:kept)",
    f"GET /v2/keypairs/{ACCESS_KEY}/ssh kept",
    f"X-BackendAI-SessionID: {PLANTED} kept",
    f"'X-BackendAI-SSO': '{PLANTED}' kept",
    f'{{"session_id": "{WEB_SESSION}", "kept": 1}}',
    f"GET /?session_id={WEB_SESSION}&sessionId={WEB_SESSION}&a=kept",
    f"AIOHTTP_SESSION={PLANTED}; kept",
    f"redis://user:{PLANTED}@{PLANTED}@redis:6379 kept",
    # Of the wsproxy and the app-proxy: what opens an app, in a URL and as a cookie.
    f"GET http://wsproxy:5050/setup?permit_key={PLANTED}&a=kept",
    f"permit_key={PLANTED} kept",
    f"appproxy_permit={PLANTED}; kept",
    f"GET /login?token[]={PLANTED}&code={PLANTED}&pwd={PLANTED}&a=kept",
    # Quoted values hold blanks, commas and quotes.
    f'{{"password": "a {PLANTED}, {PLANTED}", "kept": 1}}',
    f"password='a, {PLANTED}' kept",
    f'{{"secret": "a\\"{PLANTED} b", "kept": 1}}',
    f"token=b'{PLANTED}' kept",
]


def secret_attributes() -> dict[str, Value]:
    """Attributes that hold secrets, none of which may be left; those of texts keep their word `kept`."""
    query = "&".join(f"{name}={PLANTED}" for name in PARAMETERS)
    return {
        "url.full": f"https://user:{PLANTED}@storage:6021/upload?a=1&{query}#top",
        "url.query": query,
        "http.url": f"https://storage:6021/upload?{query}",
        "http.target": f"/upload?{query}",
        "elsewhere": f"see /upload?b=1;{query} there",
        **{f"http.request.header.{name}": [f"Bearer {PLANTED}", PLANTED] for name in HEADERS},
        "http.response.header.set-cookie": [f"AIOHTTP_SESSION={PLANTED}"],
        **dict.fromkeys(KEYS, PLANTED),
        **{f"text.{number}": text for number, text in enumerate(TEXTS)},
    }


HARMLESS: dict[str, Value] = {
    "http.request.header.user-agent": ["curl"],
    "url.path": "/token/health",
    "http.route": "/folders/{name}",
    "gen_ai.usage.input_tokens": 5,
    "code.function.name": "ai.backend.token.sign",
    "tokens": "3",
    "note": "the token is gone, the key too; a=b?c=d",
    # By which a person finds a compute session.
    "session": "session_id=UUID('e5100105-b10d-4958-aed8-6689b60350a5') session_id: 01a2221f-36e5",
    "count": 3,
    "ratio": 0.5,
    "flag": True,
    "raw": b"\x00\xff",
    "list": ["a", 1],
    "map": {"a": 1},
    "nothing": None,
}


def stored(jaeger: Jaeger, trace_id: str, span_count: int) -> list[JSON]:
    """The spans of the trace, as soon as Jaeger has ``span_count`` of them."""

    def ask() -> list[JSON]:
        found = jaeger.get(f"/api/traces/{trace_id}")["data"]
        return found[0]["spans"] if found and len(found[0]["spans"]) >= span_count else []

    return eventually(ask, f"{span_count} spans of {trace_id}")


def tags_of(stored_span: JSON) -> dict[str, object]:
    """Tags by name."""
    return {tag["key"]: tag["value"] for tag in stored_span["tags"]}


def test_configuration_is_valid(binaries: Path) -> None:
    """`otelcol validate` takes the file as it is, without any variable set."""
    command = [str(binaries / "otelcol"), "validate", "--config", str(ROOT / "collector-config.yaml")]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=VALIDATE_TIMEOUT, check=False)
    assert checked.returncode == 0, checked.stderr


def test_no_secret_reaches_jaeger(collector: Collector, jaeger: Jaeger) -> None:
    """Not in attributes of span, resource and event, not in the status message; what is no secret stays as it was."""
    trace_id = "11111111111111111111111111111111"
    made = [
        span(
            "upload",
            trace_id,
            "0000000000000001",
            attributes=secret_attributes(),
            events=[event("exception", secret_attributes())],
            status=Status(code=Status.STATUS_CODE_ERROR, message=TEXTS[0]),
        ),
        span("harmless", trace_id, "0000000000000002", attributes=HARMLESS),
        *(
            span("status", trace_id, f"{number:016x}", status=Status(code=Status.STATUS_CODE_ERROR, message=text))
            for number, text in enumerate(TEXTS, 3)
        ),
    ]
    post_otlp(collector.otlp_http, "traces", export({"service.name": "storage-proxy", **secret_attributes()}, *made))
    spans = {item["spanID"]: item for item in stored(jaeger, trace_id, len(made))}
    (trace,) = jaeger.get(f"/api/traces/{trace_id}")["data"]
    leaks = [text for text in json.dumps(trace).split('"') if any(secret in text for secret in SECRETS)]
    assert leaks == []
    redacted = tags_of(spans["0000000000000001"])
    assert str(redacted["url.full"]).startswith("https://REDACTED@storage:6021/upload?a=1&token=REDACTED&")
    assert str(redacted["url.full"]).endswith("#top")
    for tags in (tags_of(item) for span_id, item in spans.items() if span_id != "0000000000000002"):
        texts = [str(value) for key, value in tags.items() if key.startswith(("text.", "otel.status_description"))]
        assert texts
        assert all("kept" in text for text in texts)
    untouched = {key: value for key, value in tags_of(spans["0000000000000002"]).items() if key in HARMLESS}
    assert untouched == {
        **HARMLESS,
        "http.request.header.user-agent": '["curl"]',
        "raw": "AP8=",
        "list": '["a",1]',
        "map": '{"a":1}',
        "nothing": "",
    }


def test_urls_as_the_plugin_redacts_them(collector: Collector, jaeger: Jaeger) -> None:
    """The Collector's pattern and the plugin's (`redaction.py`) make the same of a URL."""
    trace_id = "22222222222222222222222222222222"
    urls = [
        *(f"https://s/o?a=1&{name}={PLANTED}&b=2" for name in PARAMETERS),
        f"/tus?TOKEN={PLANTED}#part",
        f"token={PLANTED}&a=1",
        f"?a=1;auth-token={PLANTED}",
        "?token=",
        "https://s/path",
        "https://s/token/x?a=1",
        "https://s/?tokens=3&tokenize=1",
        "/a=b?c=d",
        "?mytokenx=1",
        "=&=?",
    ]
    made = [
        span("url", trace_id, f"{number:016x}", attributes=dict.fromkeys(URL_ATTRIBUTES, url))
        for number, url in enumerate(urls, 1)
    ]
    post_otlp(collector.otlp_http, "traces", export({"service.name": "storage-proxy"}, *made))
    spans = {int(item["spanID"], 16): tags_of(item) for item in stored(jaeger, trace_id, len(made))}
    for number, url in enumerate(urls, 1):
        assert [spans[number][name] for name in URL_ATTRIBUTES] == [redact_url(url)] * len(URL_ATTRIBUTES)


def test_noise_is_dropped(collector: Collector, jaeger: Jaeger) -> None:
    """Health checks, scrapes, pings and heartbeats make no span in Jaeger; what is like them does, and what failed."""
    trace_id = "33333333333333333333333333333333"
    noise: list[tuple[str, str, str]] = [
        *(("GET", "url.path", path) for path in NOISE_PATHS),
        *(("GET", "http.target", f"{path}?verbose=1") for path in NOISE_PATHS),
        *(("GET", "url.full", f"http://10.0.0.1:6003{path}") for path in NOISE_PATHS),
        *(("GET", "http.url", f"https://agent{path}?a=1") for path in NOISE_PATHS),
        *((method, "rpc.method", method) for method in NOISE_RPC_METHODS),
        ("publish", "messaging.destination.template", "agent_heartbeat"),
        ("process agent_heartbeat", "a", "b"),
        ("heartbeat", "a", "b"),
        ("ServiceDiscovery.heartbeat", "a", "b"),
    ]
    rest: list[tuple[str, str, str]] = [
        ("GET", "url.path", "/healthy"),
        ("GET", "url.path", "/folders/health"),
        ("GET", "url.full", "http://10.0.0.1/v2/health"),
        ("GET", "http.target", "/session?next=/health"),
        ("POST", "url.path", "/session/metrics"),
        ("ping_kernel", "rpc.method", "ping_kernel"),
        ("publish agent_heartbeat_lost", "messaging.destination.template", "agent_heartbeat_lost"),
        ("last", "a", "b"),
    ]
    numbered = list(enumerate(noise + rest, 1))
    made = [
        span(name, trace_id, f"{number:016x}", kind=Span.SPAN_KIND_SERVER, attributes={key: value})
        for number, (name, key, value) in numbered
    ]
    failed = Status(code=Status.STATUS_CODE_ERROR)
    made += [
        span(name, trace_id, f"{number + FAILED:016x}", attributes={key: value}, status=failed)
        for number, (name, key, value) in numbered
    ]
    methods = {"url": "http.request.method", "http": "http.method"}
    made += [
        span(name, trace_id, f"{number + POSTED:016x}", attributes={key: value, methods[key.partition(".")[0]]: "POST"})
        for number, (name, key, value) in numbered
        if name == "GET"
    ]
    post_otlp(collector.otlp_http, "traces", export({"service.name": "manager"}, *made))
    passing = {int(one.span_id.hex(), 16) for one in made} - set(range(1, len(noise) + 1))
    # All are of one export and one batch: when the last is there, so are all that pass.
    assert {int(item["spanID"], 16) for item in stored(jaeger, trace_id, len(passing))} == passing


def test_no_secret_in_log_records(collector: Collector, loki: Receiver) -> None:
    """Log records pass with their trace, without secrets in body, attributes and resource."""
    resource: dict[str, Value] = {"service.name": "storage-proxy", "access_key": PLANTED}
    records = [log_record(text, {"number": number, **secret_attributes()}) for number, text in enumerate(TEXTS)]
    others = [log_record({"text": "a map"}), log_record(5), log_record(None)]
    post_otlp(collector.otlp_http, "logs", export_logs(resource, *records, *others))
    eventually(lambda: len(loki.logs) >= len(records) + len(others), "the log records")
    arrived = [record for record in loki.logs if "number" in record.attributes]
    assert len(arrived) == len(TEXTS)
    assert [str(record) for record in loki.logs if any(secret in str(record) for secret in SECRETS)] == []
    assert all("kept" in record.body for record in arrived)


def test_traces_flow_without_loki_and_prometheus(binaries: Path, jaeger: Jaeger, tmp_path: Path) -> None:
    """Logs and metrics are accepted and given up in time; nobody who sends traces notices."""
    trace_id = "44444444444444444444444444444444"
    point = NumberDataPoint(time_unix_nano=1, as_int=1)
    metric = Metric(name="backendai.request.minted", gauge=Gauge(data_points=[point]))
    metrics = ExportMetricsServiceRequest(
        resource_metrics=[ResourceMetrics(scope_metrics=[ScopeMetrics(metrics=[metric])])]
    )
    with run_collector(binaries, tmp_path, jaeger.otlp_grpc) as alone:
        for number in range(1, 21):
            post_otlp(alone.otlp_http, "logs", export_logs({"service.name": "agent"}, log_record("a line")))
            post_otlp(alone.otlp_http, "metrics", metrics)
            made = span("work", trace_id, f"{number:016x}")
            post_otlp(alone.otlp_http, "traces", export({"service.name": "agent"}, made))
        assert len(stored(jaeger, trace_id, 20)) == 20


def test_grpc_is_received_too(collector: Collector, jaeger: Jaeger) -> None:
    """OTLP over gRPC, from the official exporter, goes the same way."""
    provider = TracerProvider(resource=Resource({"service.name": "agent"}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"http://{collector.otlp_grpc}", insecure=True, timeout=10)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    made = provider.get_tracer("test").start_span("by gRPC", attributes={"url.query": f"token={PLANTED}"})
    made.end()
    provider.shutdown()
    (arrived,) = stored(jaeger, f"{made.get_span_context().trace_id:032x}", 1)
    assert (arrived["operationName"], tags_of(arrived)["url.query"]) == ("by gRPC", "token=REDACTED")


def test_our_exporter_is_understood(collector: Collector, jaeger: Jaeger) -> None:
    """Values that strain an encoding, read by a parser that is not Python's; compressed, in one batch."""
    settings = Settings(f"{collector.otlp_http}/v1/traces", compression="gzip")
    exporter = OtlpSpanExporter(settings)
    values: Attributes = {
        "text": "a\udcffb \u00e9",
        "beyond": 2**64,
        "least": -(2**63),
        "share": 0.25,
        "list": ["a", None, 1],
        "map": {"k": {"deep": True}},
        "bytes": b"\x00\xff",
    }
    trace_id = 0x5150
    spans = [
        ReadableSpan(
            name=f"span {number}",
            context=SpanContext(trace_id, number, is_remote=False),
            resource=Resource({"service.name": "agent"}),
            attributes=values,
            start_time=1_700_000_000_000_000_000,
            end_time=1_700_000_000_000_000_001,
        )
        for number in range(1, 4)
    ]
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    exporter.shutdown()
    for arrived in stored(jaeger, f"{trace_id:032x}", 3):
        tags = tags_of(arrived)
        assert tags["share"] == 0.25
        assert (tags["text"], tags["beyond"], str(tags["least"])) == (r"a\udcffb é", str(2**64), str(-(2**63)))
        assert json.loads(str(tags["list"])) == ["a", None, 1]
        assert json.loads(str(tags["map"])) == {"k": {"deep": True}}


def test_spans_wait_for_jaeger(binaries: Path, tmp_path: Path) -> None:
    """What is sent while Jaeger is away is accepted, and stored when it is back."""
    trace_id = "55555555555555555555555555555555"
    address = f"127.0.0.1:{free_port()}"
    jaegers, collectors = tmp_path / "jaeger", tmp_path / "collector"
    jaegers.mkdir()
    collectors.mkdir()
    with run_collector(binaries, collectors, address) as waiting:
        post_otlp(
            waiting.otlp_http, "traces", export({"service.name": "agent"}, span("early", trace_id, "0" * 15 + "1"))
        )
        with run_jaeger(binaries, jaegers, address) as late:
            assert [item["operationName"] for item in stored(late, trace_id, 1)] == ["early"]

# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""An attribute value as text, in the form of the Collector's ``pcommon.Value.AsString``, which Jaeger shows."""

import base64
import json
import math
from collections.abc import Mapping

from otel_backendai.desk.model import AttributeValue

# Browsers read numbers as doubles, so JSON for them has larger integers as text.
MAX_SAFE_INTEGER = 2**53 - 1

# Go's encoding/json writes these as escapes inside strings, so that its output is safe inside HTML.
_GO_ESCAPES = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})


def attribute_text(value: AttributeValue) -> str:
    """``value`` as text: "" for nothing, base64 for bytes, JSON for lists and maps."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return _json(value)


def _json(value: AttributeValue) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, (str, bytes)):
        return json.dumps(attribute_text(value), ensure_ascii=False).translate(_GO_ESCAPES)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_json(key)}:{_json(value[key])}" for key in sorted(value)) + "}"
    return "[" + ",".join(map(_json, value)) + "]"


def _float(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    # Python and Go both print the shortest text that reads back as the same number; only their exponents differ.
    digits, exponent_mark, exponent = repr(value).partition("e")
    return f"{digits}e{int(exponent):+d}" if exponent_mark else digits

"""The faults of `simulate --fault` that concern REST, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exporter.simulator.answer_edits import encode, field, http, once
from exporter.simulator.fault import Fault, answers
from exporter.simulator.rest import API_RESTRICTIONS, FUNDING_INFO, INCOME, PREMIUM_INDEX
from exporter.simulator.toggles import REST

if TYPE_CHECKING:
    from exporter.simulator.answer_edits import Replacement
    from exporter.simulator.fault import Switch

_BAN_SECONDS: Final = 3 * 86_400.0
_INCOME_LAG_SECONDS: Final = 300.0
_OVER_10_MB: Final = 10 * 2**20
_HTML: Final = "<!DOCTYPE html><html><head><title>403 Forbidden</title></head><body>Request blocked.</body></html>"
_HTML_TYPE: Final = {"Content-Type": "text/html"}
_NOT_HERE: Final = "Service unavailable from a restricted location according to 'b. Eligibility' in the terms of use."
_UNKNOWN: Final = "Unknown error, please check your request or try again later."
_TOO_MANY: Final = "Too many requests; current limit of IP(203.0.113.7) is 2400 requests per minute."
_NO_PATH: Final = f"Path {FUNDING_INFO}, Method GET is invalid"
_NO_PERMISSION: Final = "Invalid API-key, IP, or permissions for action, request ip: 203.0.113.7"


def _http(status: int, body: object, headers: dict[str, str] | None = None) -> Switch:
    return answers(lambda: http(status, body, headers), REST)


def _body(change: object) -> Switch:
    return answers(lambda: field("body", change), REST)


def _rates(value: object) -> Switch:
    """Replace the funding rates in the rows of all symbols and in the row of one."""

    def replaced(body: Any) -> Any:
        for row in body if isinstance(body, list) else [body]:
            row["lastFundingRate"] = value
        return body

    return answers(lambda: field("body", replaced), PREMIUM_INDEX)


def _half(body: object) -> str | bytes:
    text = encode(body)
    return text[: len(text) // 2]


def _padded(body: object) -> str:
    return f"{encode(body)!s}{' ' * _OVER_10_MB}"


def _retyped(value: object) -> object:
    """Turn texts into numbers, and numbers and booleans into lists."""
    if isinstance(value, dict):
        return {name: _retyped(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_retyped(item) for item in value]
    return 1 if isinstance(value, str) else [value]


def _refused_once() -> Replacement:
    return once(http(401, {"code": -2015, "msg": _NO_PERMISSION}))


REST_FAULTS: Final[dict[str, Fault]] = {
    "rest-hanging": Fault("REST requests get no response", lambda exchange: exchange.lose_answers(REST)),
    "rest-cut": Fault(
        "REST connections are reset in the middle of a response", lambda exchange: exchange.cut_answers(REST)
    ),
    "rest-429": Fault(
        "REST responses are 429 with Retry-After 30",
        _http(429, {"code": -1003, "msg": _TOO_MANY}, {"Retry-After": "30"}),
    ),
    "rest-banned": Fault(
        "the IP is banned from REST for 3 days",
        lambda exchange: exchange.rest_weight.ban(_BAN_SECONDS, exchange.server_time()),
    ),
    "rest-busy": Fault(
        "other programs use 80 % of the request weight of REST",
        lambda exchange: exchange.rest_weight.share(exchange.rest_weight.limit * 8 // 10, exchange.server_time()),
    ),
    "rest-403": Fault("REST responses are 403 with HTML, by the web firewall", _http(403, _HTML, _HTML_TYPE)),
    "rest-451": Fault("REST responses are 451", _http(451, {"code": 0, "msg": _NOT_HERE})),
    "rest-503": Fault("REST responses are 503", _http(503, {"code": 0, "msg": _UNKNOWN})),
    "rest-html": Fault("REST responses are HTML with status 200", _http(200, _HTML, _HTML_TYPE)),
    "rest-redirects": Fault("REST responses are redirects", _http(302, "", {"Location": "/fapi/v1/redirected"})),
    "rest-truncated": Fault("REST responses are truncated JSON", _body(_half)),
    "rest-wrong-types": Fault("REST responses have wrong types: numbers for texts", _body(_retyped)),
    "rest-huge": Fault("REST responses are larger than 10 MiB", _body(_padded)),
    "rest-empty": Fault("REST responses are empty lists", _body([])),
    "rest-empty-rates": Fault("premiumIndex has empty funding rates", _rates("")),
    "rest-null-rates": Fault("premiumIndex has null for funding rates", _rates(None)),
    "rest-no-intervals": Fault(
        "fundingInfo does not exist: 404, code -5000",
        answers(lambda: http(404, {"code": -5000, "msg": _NO_PATH}), FUNDING_INFO),
    ),
    "rest-late-income": Fault(
        "income rows appear 5 minutes late", lambda exchange: exchange.delay_income(_INCOME_LAG_SECONDS)
    ),
    "rest-descending": Fault(
        "income rows are sent in descending order",
        answers(lambda: field("body", lambda body: body[::-1] if isinstance(body, list) else body), INCOME),
    ),
    "rest-key-refused": Fault(
        "the next apiRestrictions fails with code -2015", answers(_refused_once, API_RESTRICTIONS)
    ),
}

"""Sends requests to another service; an answer is bounded in size, typed, and repeats no addresses or tokens.

What is raised goes to people outside: it names the service, the status and the service's own words, never our URL, path
or token. The log has the path with tokens blanked.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import httpx
import msgspec
import structlog
from pydantic import JsonValue

from shared.domain.errors import Refused, Retry, WrongAnswer

log = structlog.get_logger(__name__)
MOST_ANSWER_BYTES: Final = 32 * 1024 * 1024
"""Bytes of one answer after decompression; the largest, a day's findings or a statement's evidence, are some MB."""
MOST_WORDS: Final = 300
"""Characters of another service's own words that are handed on."""
_TOKEN: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_MAY_PASS: Final = frozenset((401, 403, 408, 425, 429))
"""Statuses below 500 that say nothing of the question: keys are being changed, or the service is busy."""


class BoundedAnswer(NamedTuple):
    """Status and body."""

    status: int
    body: bytes


async def send_request(
    client: httpx.AsyncClient,
    service: str,
    method: str,
    path: str,
    *,
    most_bytes: int = MOST_ANSWER_BYTES,
    params: Mapping[str, str | int] | None = None,
    json: Mapping[str, JsonValue] | None = None,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float | None = None,
) -> BoundedAnswer:
    """The answer, of any status; raises `Retry` where there is none, `WrongAnswer` for one larger than `most_bytes`."""
    try:
        timeout = client.timeout if timeout_seconds is None else httpx.Timeout(timeout_seconds)
        async with client.stream(
            method, path, params=params, json=json, content=content, headers=headers, timeout=timeout
        ) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > most_bytes:
                    log.error("answer too large", service=service, path=blank_tokens(path), most_bytes=most_bytes)
                    raise WrongAnswer(f"{service}: an answer larger than {most_bytes} bytes")
            return BoundedAnswer(response.status_code, bytes(body))
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        log.warning("no answer", service=service, path=blank_tokens(path), error=type(error).__name__)
        raise Retry(f"{service}: no answer: {type(error).__name__}") from error


def need_success(service: str, path: str, answer: BoundedAnswer) -> bytes:
    """The body of a success; else raises `Retry`, or `WrongAnswer` for a status that the question itself caused."""
    if 200 <= answer.status < 300:
        return answer.body
    log.warning("answer without success", service=service, path=blank_tokens(path), status=answer.status)
    if 400 <= answer.status < 500 and answer.status not in _MAY_PASS:
        raise WrongAnswer(f"{service}: {describe_status(answer)}")
    raise Retry(f"{service}: {describe_status(answer)}")


def read_object(service: str, path: str, body: bytes) -> dict[str, Any]:
    """The JSON object of a body; raises `WrongAnswer` for anything else."""
    try:
        decoded: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        log.warning("answer not readable", service=service, path=blank_tokens(path), error=type(error).__name__)
        raise WrongAnswer(f"{service}: the answer is no JSON object") from error
    return decoded


def refusal(service: str, answer: BoundedAnswer) -> Refused:
    """The reason with which a service refuses a request: its own words, cut to MOST_WORDS, tokens blanked."""
    return Refused(f"{service}: {own_words(answer.body) or f'HTTP {answer.status}'}")


def own_words(body: bytes) -> str:
    """The `detail` of an answer without success, cut to MOST_WORDS, tokens blanked; "" where there is none."""
    try:
        detail = msgspec.json.decode(body, type=dict[str, Any]).get("detail")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return blank_tokens(detail)[:MOST_WORDS] if isinstance(detail, str) else ""


def describe_status(answer: BoundedAnswer) -> str:
    """The status of an answer without success, with the service's own words."""
    words = own_words(answer.body)
    return f"HTTP {answer.status}: {words}" if words else f"HTTP {answer.status}"


def blank_tokens(text: str) -> str:
    """The text with every worker's token, and every other 64 hex digits, replaced."""
    return _TOKEN.sub("<token>", text)

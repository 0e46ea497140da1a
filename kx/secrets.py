"""What must not be shown: secrets of configs, URIs and the environment.

`redact` hides what a config's keys and URIs say is secret; `scrub` hides, in any text, every
secret that this process has seen: an error of a library may repeat one anywhere.
"""

from __future__ import annotations

import functools
import os
import re
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

REDACTED = "***"
# `token`, but not the `tokens` and `tokenizer` of a text.
_SECRET = (
    r"(?:password|passwd|passphrase|passcode|secret|token(?![a-z])"
    r"|(?:api|access|private|signing|account)[-_]?key|credential|authorization|cookie"
    r"|(?<![a-z])(?:pwd|auth|(?:db|pg|sql|user|mail|smtp|ftp)?pass)(?![a-z]))"
)
_SECRET_KEY = re.compile(_SECRET, re.IGNORECASE)
# Numbers under these are secrets, too; under others (`pad_token: 0`) they are numbers.
_SECRET_NUMBER = re.compile(r"pass|pwd|secret|api[-_]?key|credential", re.IGNORECASE)
# Within a mapping on the command line: {user: me, api_token: abc, header: 'a b'}
_SECRET_ENTRY = re.compile(rf"[\w.\-]*{_SECRET}[\w.\-]*['\"]?\s*[:=]\s*", re.IGNORECASE)
_PLAIN_VALUE = re.compile(r"(?i:true|false|null|[-+]?[\d.]+(?:e[-+]?\d+)?)")
# Of a URI, a user (`me@corp.com`) with a password, which may have any letters but spaces and
# quotes, up to the last `@`. Digits and a slash after the colon are a port.
_PASSWORD = re.compile(r"(?<=://)([^/\s:'\"]*):(?!\d+(?:/|$))([^\s'\"]+)(?=@)")
# Where a text is a URI as a whole, quotes are letters of its password.
_PASSWORD_OF_WHOLE = re.compile(r"(?<=://)([^/\s:]*):(?!\d+(?:/|$))(\S+)(?=@)")
_WHOLE_URI = re.compile(r"[a-z][\w+.\-]*://\S+", re.IGNORECASE)
_TOKEN = re.compile(
    r"(?<=http://|ttps://)([^/@\s'\":]+)(?=@)", re.IGNORECASE
)  # whatever stands before an `@`
_PARAMETER = re.compile(
    rf"([?&;#](?:[\w.\-]*{_SECRET}[\w.\-]*|(?:[\w.\-]*[-_.])?(?:signature|sig|auth))=)"
    r"[^&;#\s'\"]+",
    re.IGNORECASE,
)
_ENCODED = re.compile(r"([?&;#][\w.\-]+=)([^&;#\s'\"]*%[^&;#\s'\"]*)")  # ?odbc_connect=PWD%3D…
_HEADER = re.compile(
    r"(Authorization['\"]?\s*[:=]\s*['\"]?(?:Bearer|Basic)\s+|\bBearer\s+(?=[\w.~+/\-]*\d))"
    r"[\w.~+/=\-]{6,}",
    re.IGNORECASE,
)
_BEARER = re.compile(r"[Bb]earer\s+(\S{6,})")
_SHORTEST_OF_PASSWORD = 4  # letters of a secret that is looked for in any text …
_SHORTEST = 8  # … of others, whose name may seem secret where the value is a plain word
_HIDE = rf"\1{REDACTED}"

_known: set[str] = set()
_server = ""  # whose user and password are in the environment


def redact(value: Any, key: str = "") -> Any:
    """Returns a copy of a config with its secrets hidden.

    Args:
        value: mappings, lists and plain values.
        key: under which it stood.

    Example:
    >>> redact({"api_key": "abc", "uri": "https://me:pw@host/x", "other": "http://abc@host?sig=1"})
    {'api_key': '***', 'uri': 'https://me:***@host/x', 'other': 'http://***@host?sig=***'}
    """
    if isinstance(value, dict):
        below = key if _SECRET_KEY.search(key) else ""
        return {k: redact(v, f"{below} {k}".strip()) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item, key) for item in value]
    if isinstance(value, str) and value and _SECRET_KEY.search(key):
        learn(value, _shortest(key))
        return REDACTED
    if isinstance(value, int | float) and not isinstance(value, bool):
        return REDACTED if _SECRET_NUMBER.search(key) else value
    return _of_text(value) if isinstance(value, str) else value


def _of_text(value: str) -> str:
    """Hides what a plain value shows of URIs, of headers, and of the environment (`oc.env`)."""
    if bearer := _BEARER.fullmatch(value.strip()):
        learn(bearer[1])
        return f"Bearer {REDACTED}"
    hidden = _of_uris(value)
    for secret in _of_environment():
        if len(secret) >= _SHORTEST and secret in hidden:  # no word of a config (`test`), no part
            hidden = _as_words(secret).sub(REDACTED, hidden)
    return hidden


def _without(text: str, secret: str) -> str:
    """Returns a text without a secret: a short one as a word alone, since it is a part of many."""
    if len(secret) >= _SHORTEST or secret not in text:
        return text.replace(secret, REDACTED)
    return _as_words(secret).sub(REDACTED, text)


def _as_words(secret: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(secret)}(?!\w)")


def redact_word(word: str) -> str:
    """Returns an override, its value hidden if its key names a secret."""
    key, equals, value = word.partition("=")
    if not equals:
        return word
    if _PLAIN_VALUE.fullmatch(value) and not _SECRET_NUMBER.search(key):
        return word  # model.token_embedding.units=64
    if _SECRET_KEY.search(key):
        _learn_all(value, _shortest(key))
        return f"{key}={REDACTED}" if value else word
    return f"{key}={redact(_hide_entries(value))}"


def _hide_entries(text: str) -> str:
    """Hides the values of secret entries of a mapping, up to the comma or bracket after each."""
    parts, begin = [], 0
    for found in _SECRET_ENTRY.finditer(text):
        if found.start() < begin:
            continue  # within one that is hidden
        end = _end_of_value(text, found.end())
        value = text[found.end() : end]
        if not _PLAIN_VALUE.fullmatch(value.strip()) or _SECRET_NUMBER.search(found[0]):
            _learn_all(value, _shortest(found[0]))
            parts += [text[begin : found.end()], REDACTED]
            begin = end
    return "".join(parts) + text[begin:]


def _end_of_value(text: str, begin: int) -> int:
    """Returns where a value of Hydra's syntax ends: brackets and quotes within it are its own."""
    depth, quote = 0, ""
    for place in range(begin, len(text)):
        letter = text[place]
        if quote:
            quote = "" if letter == quote and text[place - 1] != "\\" else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "[{(":
            depth += 1
        elif letter in "]})" and depth:
            depth -= 1
        elif letter in ",]})" and not depth:
            return place
    return len(text)


def _learn_all(value: str, shortest: int) -> None:
    """Notes a secret value of the command line, and what it is made of."""
    learn(value.strip().strip("'\""), shortest)
    if value.strip().startswith(("[", "{")):
        for part in re.findall(r"[^\[\]{},:'\"]+", value):
            learn(part.strip(), shortest)


def _shortest(key: str) -> int:
    return _SHORTEST_OF_PASSWORD if _SECRET_NUMBER.search(key) else _SHORTEST


def _of_uris(text: str) -> str:
    if "://" not in text:
        return text
    password = _PASSWORD_OF_WHOLE if _WHOLE_URI.fullmatch(text) else _PASSWORD
    for found in [*password.finditer(text), *_TOKEN.finditer(text)]:
        learn(found[found.re.groups], _SHORTEST_OF_PASSWORD)
    text = password.sub(rf"\1:{REDACTED}", text)
    return _ENCODED.sub(_hide_encoded, _PARAMETER.sub(_HIDE, _TOKEN.sub(REDACTED, text)))


def _hide_encoded(found: re.Match[str]) -> str:
    """Hides a parameter that has others within: `odbc_connect=…%3BPWD%3Dabc`."""
    plain = unquote(found[2])
    inner = _SECRET_ENTRY.search(plain)
    if inner is None:
        return found[0]
    learn(plain[inner.end() :].partition(";")[0], _SHORTEST_OF_PASSWORD)
    return f"{found[1]}{REDACTED}"


def learn(secret: str, shortest: int = _SHORTEST) -> None:
    """Notes a secret that `scrub` is to hide, in whatever form a URI may have it.

    Args:
        secret: as the user gave it.
        shortest: number of letters of one that is hidden in any text.
    """
    plain = unquote(secret)
    forms = {secret, plain, quote(plain, safe=""), quote(plain), quote_plus(plain)}
    _known.update(form for form in forms if len(form) >= shortest and form != REDACTED)


# Asked for each text of a config, of each job of a sweep.
@functools.lru_cache(maxsize=4096)
def _names_secret(name: str) -> bool:
    return _SECRET_KEY.search(name) is not None


@functools.lru_cache(maxsize=256)
def _is_path(value: str) -> bool:
    return os.path.exists(value)


def _of_environment() -> set[str]:
    """Returns the secrets of the environment: not the paths of files that have some."""
    return {
        value
        for name, value in os.environ.items()
        if _names_secret(name) and len(value) >= _shortest(name) and not _is_path(value)
    }


def scrub(text: object) -> str:
    """Returns a text without the secrets that this process knows.

    Args:
        text: of an error, a log, a page.

    Example:
    >>> scrub("no answer from postgresql://me:s3cret@host/db (password s3cret)")
    'no answer from postgresql://me:***@host/db (password ***)'
    """
    hidden = _of_uris(str(text))
    for secret in sorted(_known | _of_environment(), key=len, reverse=True):
        hidden = _without(hidden, secret)
    return _HEADER.sub(_HIDE, hidden)


def without_credentials(uri: str) -> str:
    """Returns the URI of a server without user and password, which go where MLflow reads them.

    MLflow repeats a server's URI in its errors, logs and artifacts. In the environment
    (`MLFLOW_TRACKING_USERNAME`, `MLFLOW_TRACKING_PASSWORD`) they are sent likewise, and not shown.

    Args:
        uri: of a tracking store. Others than of a server, and one whose user is not the
            environment's, stay as they are.
    """
    global _server
    parts = urlsplit(uri)
    credentials, at, host = parts.netloc.rpartition("@")
    if parts.scheme not in ("http", "https") or not at:
        return uri
    user, _, password = (unquote(part) for part in credentials.partition(":"))
    learn(credentials.partition(":")[2] or credentials, _SHORTEST_OF_PASSWORD)
    wanted = {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}
    # MLflow sends these only together; a token alone stays in the URI.
    others = any(os.environ.get(name, value) != value for name, value in wanted.items())
    if others or not user or not password:
        return uri
    os.environ.update(wanted)
    _server = host
    return uri.replace(parts.netloc, host, 1)


def would_get_credentials_of(uri: str) -> str:
    """Returns the server whose user and password MLflow would send to another one, or nothing.

    Args:
        uri: of the other one.
    """
    parts = urlsplit(uri)
    other = parts.scheme in ("http", "https") and "@" not in parts.netloc
    return _server if _server and other and parts.netloc != _server else ""


def bare(uri: str) -> str:
    """Returns a URI without user and password, by which two are compared.

    Args:
        uri: of a store.
    """
    credentials, _, place = uri.partition("://")[2].rpartition("@")
    return uri.replace(f"{credentials}@", "", 1) if place and credentials else uri

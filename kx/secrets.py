"""Redaction of secrets in configs, URIs and the environment.

`redact` hides the values of a config that are secret by their keys or in URIs; `scrub` hides, in
any text, every secret that this process has seen, since a library's error may contain one anywhere.
"""

from __future__ import annotations

import functools
import os
import re
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

REDACTED = "***"
# Matches `token`, but not `tokens` or `tokenizer`, which belong to text models.
_SECRET = (
    r"(?:password|passwd|passphrase|passcode|secret|token(?![a-z])"
    r"|(?:api|access|private|signing|account)[-_]?key|credential|authorization|cookie"
    r"|(?<![a-z])(?:pwd|auth|(?:db|pg|sql|user|mail|smtp|ftp)?pass)(?![a-z]))"
)
_SECRET_KEY = re.compile(_SECRET, re.IGNORECASE)
# Numbers under these keys are secret, too; under other keys (`pad_token: 0`) they are not.
_SECRET_NUMBER = re.compile(r"pass|pwd|secret|api[-_]?key|credential", re.IGNORECASE)
# An entry of a mapping on the command line: {user: me, api_token: abc, header: 'a b'}
_SECRET_ENTRY = re.compile(rf"[\w.\-]*{_SECRET}[\w.\-]*['\"]?\s*[:=]\s*", re.IGNORECASE)
_PLAIN_VALUE = re.compile(r"(?i:true|false|null|[-+]?[\d.]+(?:e[-+]?\d+)?)")
# User (`me@corp.com`) and password of a URI. The password may contain any characters except spaces
# and quotes, up to the last `@`. Digits and a slash after the colon are a port.
_PASSWORD = re.compile(r"(?<=://)([^/\s:'\"]*):(?!\d+(?:/|$))([^\s'\"]+)(?=@)")
# If the whole text is a URI, its password may contain quotes.
_PASSWORD_OF_WHOLE = re.compile(r"(?<=://)([^/\s:]*):(?!\d+(?:/|$))(\S+)(?=@)")
_WHOLE_URI = re.compile(r"[a-z][\w+.\-]*://\S+", re.IGNORECASE)
_TOKEN = re.compile(
    r"(?<=http://|ttps://)([^/@\s'\":]+)(?=@)", re.IGNORECASE
)  # anything before an `@`
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
_SHORTEST_OF_PASSWORD = 4  # minimum length of a password to hide in any text
_SHORTEST = 8  # of other secrets: under a name that seems secret, the value may be a common word
_HIDE = rf"\1{REDACTED}"

_known: set[str] = set()
_server = ""  # server whose user and password are in the environment


def redact(value: Any, key: str = "") -> Any:
    """Returns a copy of a config with its secrets hidden.

    Args:
        value: Mappings, lists and plain values.
        key: Key of the value. Defaults to "": none.

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
    """Hides the secrets of URIs, headers and the environment (`oc.env`) in a text."""
    if bearer := _BEARER.fullmatch(value.strip()):
        learn(bearer[1])
        return f"Bearer {REDACTED}"
    hidden = _of_uris(value)
    for secret in _of_environment():
        if len(secret) >= _SHORTEST and secret in hidden:  # not words like `test`, nor parts
            hidden = _as_words(secret).sub(REDACTED, hidden)
    return hidden


def _without(text: str, secret: str) -> str:
    """Hides a secret in a text; a short one only as a whole word, since many words contain it."""
    if len(secret) >= _SHORTEST or secret not in text:
        return text.replace(secret, REDACTED)
    return _as_words(secret).sub(REDACTED, text)


def _as_words(secret: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(secret)}(?!\w)")


def redact_word(word: str) -> str:
    """Returns an override with its value hidden if its key names a secret.

    Args:
        word: Override: `key=value`.
    """
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
    """Hides the values of a mapping's secret entries, up to the comma or bracket after each."""
    parts, begin = [], 0
    for found in _SECRET_ENTRY.finditer(text):
        if found.start() < begin:
            continue  # within a hidden value
        end = _end_of_value(text, found.end())
        value = text[found.end() : end]
        if not _PLAIN_VALUE.fullmatch(value.strip()) or _SECRET_NUMBER.search(found[0]):
            _learn_all(value, _shortest(found[0]))
            parts += [text[begin : found.end()], REDACTED]
            begin = end
    return "".join(parts) + text[begin:]


def _end_of_value(text: str, begin: int) -> int:
    """Returns the end of a value in Hydra's syntax, which may contain brackets and quotes."""
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
    """Records a secret value of the command line, and its items if it is a list or a mapping."""
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
    """Hides a URL-encoded parameter that contains a secret: `odbc_connect=…%3BPWD%3Dabc`."""
    plain = unquote(found[2])
    inner = _SECRET_ENTRY.search(plain)
    if inner is None:
        return found[0]
    learn(plain[inner.end() :].partition(";")[0], _SHORTEST_OF_PASSWORD)
    return f"{found[1]}{REDACTED}"


def learn(secret: str, shortest: int = _SHORTEST) -> None:
    """Records a secret, plain and URL-encoded, for `scrub` to hide.

    Args:
        secret: Secret as given by the user.
        shortest: Minimum number of characters; shorter forms are not recorded. Defaults to 8.
    """
    plain = unquote(secret)
    forms = {secret, plain, quote(plain, safe=""), quote(plain), quote_plus(plain)}
    _known.update(form for form in forms if len(form) >= shortest and form != REDACTED)


# Cached: called for each text in the config of each job of a sweep.
@functools.lru_cache(maxsize=4096)
def _names_secret(name: str) -> bool:
    return _SECRET_KEY.search(name) is not None


@functools.lru_cache(maxsize=256)
def _is_path(value: str) -> bool:
    return os.path.exists(value)


def _of_environment() -> set[str]:
    """Returns the secrets of the environment, without paths of files that contain secrets."""
    return {
        value
        for name, value in os.environ.items()
        if _names_secret(name) and len(value) >= _shortest(name) and not _is_path(value)
    }


def scrub(text: object) -> str:
    """Returns a text with all secrets hidden that this process knows.

    Args:
        text: Text of an error, a log or a page, or an object with one.

    Example:
    >>> scrub("no answer from postgresql://me:s3cret@host/db (password s3cret)")
    'no answer from postgresql://me:***@host/db (password ***)'
    """
    hidden = _of_uris(str(text))
    for secret in sorted(_known | _of_environment(), key=len, reverse=True):
        hidden = _without(hidden, secret)
    return _HEADER.sub(_HIDE, hidden)


def without_credentials(uri: str) -> str:
    """Returns a server's URI without user and password, which it moves to the environment.

    MLflow repeats a server's URI in its errors, logs and artifacts. It also sends the user and the
    password in `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`, but does not show them.

    Args:
        uri: URI of a tracking store.

    Returns:
        The URI without credentials. It is unchanged if it is not a server's, lacks a user or a
        password, or if the environment has another user or password.
    """
    global _server
    parts = urlsplit(uri)
    credentials, at, host = parts.netloc.rpartition("@")
    if parts.scheme not in ("http", "https") or not at:
        return uri
    user, _, password = (unquote(part) for part in credentials.partition(":"))
    learn(credentials.partition(":")[2] or credentials, _SHORTEST_OF_PASSWORD)
    wanted = {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}
    # MLflow sends these only together: a token without a user stays in the URI.
    others = any(os.environ.get(name, value) != value for name, value in wanted.items())
    if others or not user or not password:
        return uri
    os.environ.update(wanted)
    _server = host
    return uri.replace(parts.netloc, host, 1)


def would_get_credentials_of(uri: str) -> str:
    """Returns the server whose user and password MLflow would send to another server.

    Args:
        uri: URI of the other server.

    Returns:
        The host, or "" if no credentials would be sent.
    """
    parts = urlsplit(uri)
    other = parts.scheme in ("http", "https") and "@" not in parts.netloc
    return _server if _server and other and parts.netloc != _server else ""


def bare(uri: str) -> str:
    """Returns a URI without user and password, for comparisons.

    Args:
        uri: URI of a store.
    """
    credentials, _, place = uri.partition("://")[2].rpartition("@")
    return uri.replace(f"{credentials}@", "", 1) if place and credentials else uri

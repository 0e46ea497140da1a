"""What must not be shown: secrets of configs, URIs and the environment.

`redact` hides what a config's keys and URIs say is secret; `scrub` hides, in any text, every
secret that this process has seen: an error of a library may repeat one anywhere.
"""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import quote, quote_plus, unquote

REDACTED = "***"
# `token`, but not the `tokens` and `tokenizer` of a text.
_SECRET = (
    r"(?:password|passwd|passphrase|secret|token(?![a-z])|api[-_]?key|access[-_]?key|credential"
    r"|private[-_]?key|authorization)"
)
_SECRET_KEY = re.compile(_SECRET, re.IGNORECASE)
# Within a mapping on the command line: {user: me, api_token: abc}
_SECRET_ENTRY = re.compile(rf"([\w.\-]*{_SECRET}[\w.\-]*\s*[:=]\s*)[^,}}\s]+", re.IGNORECASE)
# Of a URI: a user with a password, which may have any letters but spaces and quotes, up to the last
# `@`; or whatever stands before an `@` there: a token.
_PASSWORD = re.compile(r"(?<=://)([^/@\s:'\"]*):([^\s'\"]+)(?=@)")
_TOKEN = re.compile(r"(?<=://)([^/@\s'\":]+)(?=@)")
_PARAMETER = re.compile(
    rf"([?&;#][\w.\-]*(?:{_SECRET}|signature|sig|auth)[\w.\-]*=)[^&;#\s'\"]+", re.IGNORECASE
)
_HEADER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=\-]{6,}", re.IGNORECASE)
_SHORTEST = 4  # letters of a secret that is looked for in any text
_SHORTEST_OF_ENVIRONMENT = 8  # there a name may seem secret whose value is a plain word

_HIDE = rf"\1{REDACTED}"
_known: set[str] = set()


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
        return {k: redact(v, str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item, key) for item in value]
    if isinstance(value, str) and value and _SECRET_KEY.search(key):
        learn(value)
        return REDACTED
    return _of_uris(value) if isinstance(value, str) else value


def redact_word(word: str) -> str:
    """Returns an override, its value hidden if its key names a secret."""
    key, equals, value = word.partition("=")
    if not equals:
        return word
    hidden = redact(value, key.rpartition(".")[2])
    return f"{key}={_SECRET_ENTRY.sub(_HIDE, hidden)}"


def _of_uris(text: str) -> str:
    if "://" not in text:
        return text
    for found in _PASSWORD.finditer(text):
        learn(found[2])
    for found in _TOKEN.finditer(text):
        learn(found[1])
    text = _PASSWORD.sub(rf"\1:{REDACTED}", text)
    return _PARAMETER.sub(_HIDE, _TOKEN.sub(REDACTED, text))


def learn(secret: str) -> None:
    """Notes a secret that `scrub` is to hide, in whatever form a URI may have it.

    Args:
        secret: as the user gave it.
    """
    plain = unquote(secret)
    forms = {secret, plain, quote(plain, safe=""), quote(plain), quote_plus(plain)}
    _known.update(form for form in forms if len(form) >= _SHORTEST and form != REDACTED)


def scrub(text: object) -> str:
    """Returns a text without the secrets that this process knows.

    Args:
        text: of an error, a log, a page.

    Example:
    >>> scrub("no answer from postgresql://me:s3cret@host/db (password s3cret)")
    'no answer from postgresql://me:***@host/db (password ***)'
    """
    hidden = _of_uris(str(text))
    secrets = _known | {
        value
        for name, value in os.environ.items()
        if len(value) >= _SHORTEST_OF_ENVIRONMENT and _SECRET_KEY.search(name)
    }
    for secret in sorted(secrets, key=len, reverse=True):
        hidden = hidden.replace(secret, REDACTED)
    return _HEADER.sub(rf"\1 {REDACTED}", hidden)


def without_credentials(uri: str) -> str:
    """Returns the URI of a server without user and password, which go where MLflow reads them.

    MLflow repeats a server's URI in its errors, logs and artifacts. In the environment
    (`MLFLOW_TRACKING_USERNAME`, `MLFLOW_TRACKING_PASSWORD`) they are sent likewise, and not shown.

    Args:
        uri: of a tracking store. Others than of a server, and one whose user is not the
            environment's, stay as they are.
    """
    if not uri.startswith(("http://", "https://")) or "@" not in uri:
        return uri
    scheme, _, rest = uri.partition("://")
    credentials, _, place = rest.rpartition("@")
    user, _, password = (unquote(part) for part in credentials.partition(":"))
    learn(credentials.partition(":")[2] or credentials)
    wanted = {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}
    # MLflow sends these only together; a token alone stays in the URI.
    others = any(os.environ.get(name, value) != value for name, value in wanted.items())
    if others or not user or not password:
        return uri
    os.environ.update(wanted)
    return f"{scheme}://{place}"

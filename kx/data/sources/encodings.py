"""Decodes files of text: UTF-8, UTF-16 with a byte order mark, GB18030, or as it is stated."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from kx.contracts.specs import DataIssue
from kx.errors import ConfigError, DataError

_MARKS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))
_LOOKED_AT = 100_000  # characters by which GB18030 is told from other encodings
_CHINESE_SHARE = 0.9


def decoded(
    content: bytes, file: Path, encoding: str | None = None
) -> tuple[str, tuple[DataIssue, ...]]:
    """Returns the text of a file, and an issue if its encoding was guessed.

    Args:
        content: Content of the file.
        file: Path to the file, for messages.
        encoding: Name of its encoding. Defaults to None: that of its byte order mark, else UTF-8.
            `"auto"`: also GB18030, if it is not UTF-8 and reads as Chinese.

    Raises:
        ConfigError: If there is no such encoding.
        DataError: If the text has another encoding, or a NUL character.
    """
    issues: tuple[DataIssue, ...] = ()
    codec = encoding if encoding not in (None, "auto") else None
    if codec is None:
        codec = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    else:
        _require_known(codec)
    try:
        text = content.decode(codec)
    except UnicodeDecodeError as error:
        guessed = _as_chinese(content) if encoding == "auto" and codec == "utf-8" else None
        if guessed is None:
            line = content[: error.start].count(b"\n") + 1
            # A file that is no data of a config has no such key.
            state = "State its encoding, data.encoding=gb18030 (latin-1, big5 …), or save"
            raise DataError(
                f"{file}, line {line}: this is not {codec.removesuffix('-sig').upper()}."
                f" {'Save' if encoding is None else state} the file as UTF-8: iconv -f ENCODING -t"
                " UTF-8 FILE."
            ) from error
        text = guessed
        reason = "read as GB18030, since it is not UTF-8 (data.encoding=gb18030 states it)"
        issues = (DataIssue(file.name, "kept", reason),)
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{file}, line {line}: a NUL character. Expected text in UTF-8.")
    return text.removeprefix("\ufeff"), issues


def _require_known(codec: str) -> None:
    try:
        "a".encode(codec)  # a LookupError also for what is no encoding of text: hex …
    except LookupError as error:
        raise ConfigError(
            f"data.encoding={codec}: Python knows no such encoding of text. utf-8, utf-16,"
            " gb18030, big5, latin-1 …"
        ) from error


def _as_chinese(content: bytes) -> str | None:
    """Returns a content read as GB18030, or None if it does not read as Chinese.

    Most pairs of accented letters of other encodings are pairs of GB18030, too, but few of these
    are among the common characters of GB 2312, of which a Chinese text consists.
    """
    try:
        text = content.decode("gb18030")
    except UnicodeDecodeError:
        return None
    letters = [c for c in text[:_LOOKED_AT] if not c.isascii()]
    common = sum(_in_gb2312(c) and unicodedata.category(c) != "Cn" for c in letters)
    return text if letters and common >= _CHINESE_SHARE * len(letters) else None


def _in_gb2312(character: str) -> bool:
    try:
        character.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True

"""The file of API keys: `name key` a line, `#` starts a comment.

The keys stand there in plain text, not as hashes, because nginx compares them and has no hash
function that a lookup could use; a helper process that hashes would be asked on every pick. So the
file is a secret: nobody but its owner may be able to read it. Keys are those of API Gateway, 20 to
128 characters. Logs and limits know them by their names.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path

from infrastructure.errors import SettingsError

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEY = re.compile(r"[A-Za-z0-9_-]{20,128}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key, and the name under which it is counted and logged."""

    name: str
    key: str


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """Read the keys in `path`; complaints name lines, never keys.

    Raises:
        SettingsError: the file cannot be read, can be read by others, has a line that is no key,
            the same name or key twice, or no key at all (which would shut everybody out).
    """
    try:
        others = stat.S_IMODE(path.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO)
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SettingsError(f"API_KEYS_FILE {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"API_KEYS_FILE {path} is not a text file in UTF-8") from None
    if others & (stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH):
        raise SettingsError(
            f"API_KEYS_FILE {path} is open to others than its owner: run `chmod 600 {path}`"
        )
    keys: list[ApiKey] = []
    for number, line in enumerate(lines, start=1):
        words = line.split("#", 1)[0].split()
        if words:
            keys.append(_read_line(words, f"API_KEYS_FILE {path}, line {number}"))
    _refuse_doubles(keys, path)
    if not keys:
        raise SettingsError(
            f"API_KEYS_FILE {path} holds no key, so nobody could ask anything: "
            "write lines of a name and a key, or unset it"
        )
    return tuple(keys)


def _read_line(words: list[str], where: str) -> ApiKey:
    if len(words) != 2:
        raise SettingsError(f"{where} has {len(words)} words: write a name and a key")
    name, key = words
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{where}: a name has 1 to 64 of the characters A-Z a-z 0-9 . _ -")
    if not _KEY.fullmatch(key):
        raise SettingsError(f"{where}: a key has 20 to 128 of the characters A-Z a-z 0-9 _ -")
    return ApiKey(name, key)


def _refuse_doubles(keys: list[ApiKey], path: Path) -> None:
    names: set[str] = set()
    folded: set[str] = set()
    for each in keys:
        if each.name in names:
            raise SettingsError(f"API_KEYS_FILE {path} has the name {each.name!r} twice")
        # nginx looks keys up without regard to case (and then compares them exactly).
        if each.key.lower() in folded:
            raise SettingsError(
                f"API_KEYS_FILE {path}: the key of {each.name!r} is there twice, "
                "or differs from another one in nothing but case"
            )
        names.add(each.name)
        folded.add(each.key.lower())

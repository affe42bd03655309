"""Settings from files: `EDW_REDIS_URL_FILE=/run/secrets/redis_url` gives the value of `EDW_REDIS_URL`.

Docker and Kubernetes mount secrets as such files, with any name, so a variable names each one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

#: What a variable that names a file has behind the setting's name.
FILE_SUFFIX = "_FILE"

#: Bytes that a setting's file may have.
_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SettingFiles:
    """What the files of an environment say, by field; and a line for each problem, which never shows a content."""

    contents: Mapping[str, str]
    paths: Mapping[str, str]
    problems: tuple[str, ...]


def files_of_settings(names: Mapping[str, str], environment: Mapping[str, str]) -> SettingFiles:
    """Read the files that an environment names.

    Args:
        names: The variable of each field. Case does not matter in the environment.
        environment: The variables. An empty value counts as not set.
    """
    given = {name.upper(): value for name, value in environment.items() if value}
    paths = {field: given[name + FILE_SUFFIX] for field, name in names.items() if name + FILE_SUFFIX in given}
    contents, problems = {}, []
    for field, path in paths.items():
        setting = names[field]
        if setting in given:
            problems.append(f"{setting}{FILE_SUFFIX} is set, and so is {setting}; set only one of them")
            continue
        try:
            contents[field] = _content(path)
        except ValueError as error:
            problems.append(f"{setting}{FILE_SUFFIX} {error}")
    return SettingFiles(contents, paths, tuple(problems))


def _content(name: str) -> str:
    """Return a file's content without the newline at its end. Raises ValueError, which says what is wrong."""
    path = Path(name)
    if not path.is_absolute():
        # The value is not repeated: it may be the secret itself, put into the wrong variable.
        raise ValueError("must be an absolute path, such as /run/secrets/name")
    try:
        # Asked first, because opening a pipe may block.
        if not S_ISREG(path.stat().st_mode):
            raise ValueError(f"names {name!r}, which is not a file")
        with path.open("rb") as file:
            raw = file.read(_LIMIT_BYTES + 1)
    except OSError as error:
        raise ValueError(f"names {name!r}, which cannot be read: {error.strerror}") from None
    if len(raw) > _LIMIT_BYTES:
        raise ValueError(f"names {name!r}, which is larger than 1 MiB")
    try:
        text = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"names {name!r}, which is not UTF-8 text") from None
    if not text.strip():
        raise ValueError(f"names {name!r}, which is empty")
    return text

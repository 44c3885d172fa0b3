"""From a file on disk to the lines of a chat: plain text or zip, always bounded, never written out."""

from __future__ import annotations

import contextlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from runner.groups.export_lines import LINE_CHARS, ORDINARY, Bytes, HasHole, Line, TooLong, lines_of

_EXTRA: Final = struct.Struct("<HH")
_SECONDS: Final = struct.Struct("<Bi")
_UNIX_TIME: Final = 0x5455
_UNSET_YEAR: Final = 1980
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000
_BOUNDED_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

AS_TEXT: Final = (
    "If it is text inside a message, put a space before it in a copy of the .txt, and give that with --exported-at, "
    "since a copy has a time of its own."
)
"""What to do about a line that looks like a header and was typed by somebody."""

LooksLikeChat = Callable[[str], bool]


class ExportError(ValueError):
    """A file that cannot be read as a chat export; the message says what is wrong and what to do."""


def chat_lines(
    path: Path, max_bytes: int, looks_like_chat: LooksLikeChat, ends: frozenset[str] = ORDINARY
) -> Generator[Line, None, None]:
    """Yield the lines of the chat in `path`; see ``Line``.

    `max_bytes` bounds the text after unpacking. `ends`: of the file's own lines, by which they are numbered. Raises
    ExportError for anything that is not one readable chat.
    """
    try:
        with open_chat(path, max_bytes, looks_like_chat) as stream:
            yield from lines_of(stream, max_bytes, ORDINARY if ends & ORDINARY else ends or ORDINARY)
    except UnicodeDecodeError as error:
        raise ExportError(f"{path.name} is not UTF-8 text. Export the chat again and do not convert it.") from error
    except HasHole as error:
        raise ExportError(
            f"{path.name} is not a WhatsApp chat export that can be read: a part of it is lost (NUL characters stand "
            "there). Copy it again from the phone, or export the chat again."
        ) from error
    except TooLong as error:
        raise _too_big(max_bytes) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise _damaged(path.name) from error
    except OSError as error:
        raise ExportError(f"{path.name} cannot be read: {error.strerror or error}.") from error


@contextlib.contextmanager
def open_chat(path: Path, max_bytes: int, looks_like_chat: LooksLikeChat) -> Iterator[Bytes]:
    """Open the text of a .txt, or of the one chat inside a .zip (told by its first bytes, or its suffix)."""
    # Looked at before it is opened: opening a named pipe would wait for ever.
    if not stat.S_ISREG(path.stat().st_mode):
        raise ExportError(f"{path.name} is not a file. Give the .txt or .zip that WhatsApp made.")
    with path.open("rb") as file:
        zipped = file.read(4) in (b"PK\x03\x04", b"PK\x05\x06") or path.suffix.lower() == ".zip"
        file.seek(0)
        if not zipped:
            yield file
            return
        with _open_member(path.name, file, max_bytes, looks_like_chat) as member:
            yield member


@contextlib.contextmanager
def _open_member(name: str, file: BinaryIO, max_bytes: int, looks_like_chat: LooksLikeChat) -> Iterator[Bytes]:
    with _archive(name, file) as archive:
        entry = _the_chat(name, archive, looks_like_chat)
        if entry.file_size > max_bytes:
            raise _too_big(max_bytes)
        with archive.open(entry) as member:
            yield member


def _archive(name: str, file: BinaryIO) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, OverflowError, struct.error) as error:
        raise _damaged(name) from error


def _the_chat(name: str, archive: zipfile.ZipFile, looks_like_chat: LooksLikeChat) -> zipfile.ZipInfo:
    """The one chat of a zip. People also send .txt files as attachments, so several are told apart by
    whether their first line is a message header."""
    texts = _texts(name, archive)
    if len(texts) > 1:
        texts = [entry for entry in texts if looks_like_chat(_first_line(archive, entry))]
    if len(texts) != 1:
        found = "no chat" if not texts else f"{len(texts)} chats"
        inner = _inner(archive)
        raise ExportError(f"{name} holds {found} (.txt), not one{inner}. Unpack it and give the .txt that is meant.")
    return texts[0]


def _inner(archive: zipfile.ZipFile) -> str:
    """A zip inside of it, which is not looked into."""
    zips = [entry.filename for entry in archive.infolist() if entry.filename.lower().endswith(".zip")]
    return f", but another zip ({zips[0][-100:]!r})" if zips else ""


def packed_at(path: Path, looks_like_chat: LooksLikeChat) -> datetime | None:
    """When the chat in a zip was written there: wall time of the phone, or UTC where the zip has it; None: not known.

    Raises ExportError.
    """
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            return None
        with _archive(path.name, file) as archive:
            return _entry_time(_the_chat(path.name, archive, looks_like_chat))


def _entry_time(entry: zipfile.ZipInfo) -> datetime | None:
    extra = entry.extra
    while len(extra) >= _EXTRA.size:
        kind, size = _EXTRA.unpack_from(extra)
        field, extra = extra[_EXTRA.size : _EXTRA.size + size], extra[_EXTRA.size + size :]
        if kind == _UNIX_TIME and len(field) >= _SECONDS.size and field[0] & 1:
            return datetime.fromtimestamp(_SECONDS.unpack_from(field)[1], UTC)
    try:
        wall = datetime(*entry.date_time)  # noqa: DTZ001 - the phone's
    except ValueError:
        return None
    return wall if wall.year > _UNSET_YEAR else None


def _texts(name: str, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    texts = []
    for entry in archive.infolist():
        path = entry.orig_filename
        parts = path.split("/")
        if path.startswith("/") or ".." in parts or any(mark in path for mark in ("\\", "\0", ":/")):
            raise ExportError(f"{name} holds a forged path, so it may not be WhatsApp's. Unpack it and give the .txt.")
        if any(part == "__MACOSX" or part.startswith(".") for part in parts) or entry.is_dir():
            continue
        if path.lower().endswith(".txt"):
            _refuse_unreadable(name, entry)
            texts.append(entry)
    return texts


def _refuse_unreadable(name: str, entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & _ENCRYPTED:
        raise ExportError(f"{name} is encrypted. Unpack it with its password and give the .txt.")
    # zipfile inflates the other methods without a bound, so a few bytes could fill the memory.
    if entry.compress_type not in _BOUNDED_METHODS:
        raise ExportError(f"{name} is packed in a way WhatsApp does not use. Unpack it and give the .txt.")


def _first_line(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    with archive.open(entry) as member:
        lines = member.read(LINE_CHARS).decode("utf-8", errors="replace").splitlines()
    return lines[0] if lines else ""


def _damaged(name: str) -> ExportError:
    return ExportError(f"{name} is a damaged zip. Export the chat again, or unpack it yourself.")


def _too_big(max_bytes: int) -> ExportError:
    return ExportError(
        f"The chat is bigger than {max_bytes:,} bytes of text. Export it without media, or raise the limit."
    )

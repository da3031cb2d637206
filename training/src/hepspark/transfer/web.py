"""Files on a web server, and the folders that it lists."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, ProtocolError, ReadTimeoutError, SSLError

from hepspark.errors import InputError, RunError
from hepspark.storage.base import collect

_ATTEMPTS = 5
_BROKEN_STREAM = (ProtocolError, ReadTimeoutError)
_PASSING_ANSWERS = (429, 500, 502, 503, 504)
_DEEPEST_FOLDER = 8
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class WebFile:
    """One file on a web server, as it is now."""

    address: str
    size: int
    version: str
    """Its ETag, or else the time of its last change; empty where the server tells neither."""
    ranged: bool

    def fetch(self, start: int, stop: int) -> bytes:
        """See `Source.fetch`."""

        def ask(offset: int) -> Iterator[bytes]:
            wanted = f"bytes={start + offset}-{stop - 1}"
            with _asked(self.address, {"Range": wanted}) as answer:
                if answer.status != 206 or _version(answer) != self.version:
                    raise RunError(f"{self.address}: changed while it was loaded; run again")
                yield from answer.stream(_PIECE_BYTES)

        with _told(self.address):
            return collect(ask, stop - start, _ATTEMPTS, _BROKEN_STREAM)

    def stream(self) -> Iterator[bytes]:
        """See `Source.stream`."""
        with _told(self.address), _asked(self.address, {}) as answer:
            yield from answer.stream(_PIECE_BYTES)


def look_up(address: str) -> WebFile | None:
    """The file at an address, None where there is a page (a folder's listing).

    Raises:
        InputError: the server cannot be reached, or has nothing there.
        RunError: it does not tell the file's size.
    """
    with _told(address), _asked(address, {"Range": "bytes=0-0"}) as answer:
        if _is_page(answer):
            return None
        if answer.status == 206:
            length = answer.headers.get("Content-Range", "").rpartition("/")[2]
        elif answer.status == 416:  # an empty file has no first byte
            length = answer.headers.get("Content-Range", "*/0").rpartition("/")[2]
        else:
            length = answer.headers.get("Content-Length", "")
        if not length.isdigit():
            raise RunError(f"{address}: the server does not send the size, so hepspark could not verify a transfer")
        return WebFile(address, int(length), _version(answer), answer.status == 206)


def listing(address: str) -> dict[str, WebFile]:
    """The files below a web folder, by their path in it; a file's address gives that one.

    Raises:
        InputError: there is nothing there.
    """
    file = look_up(address)
    if file is not None:
        return {unquote(urlsplit(address).path).rpartition("/")[2]: file}
    found = dict(_below(f"{address.rstrip('/')}/", "", _DEEPEST_FOLDER))
    if not found:
        raise InputError(f"{address}: the server shows no list of files there; check data.public_address")
    return found


def _below(address: str, path: str, depth: int) -> Iterator[tuple[str, WebFile]]:
    with _told(address), _asked(address, {}) as answer:
        page = _Links()
        page.feed(answer.read().decode("utf-8", "replace"))
    for link in dict.fromkeys(urldefrag(urljoin(address, link)).url for link in page.links):
        name = unquote(link.removeprefix(address).rstrip("/"))
        # Links to sort the listing, to the folder above and to other places are not its files.
        if (
            not link.startswith(address)
            or not name
            or "/" in name
            or "?" in link
            or name.startswith((".", "index.html"))
        ):
            continue
        if link.endswith("/"):
            if depth:
                yield from _below(link, f"{path}{name}/", depth - 1)
            continue
        file = look_up(link)
        if file is None:
            raise InputError(f"{link}: the server shows a page instead of the file")
        yield path + name, file


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if tag == "a" and name == "href" and value]


@lru_cache(maxsize=1)
def _pool() -> urllib3.PoolManager:
    retries = urllib3.Retry(
        total=_ATTEMPTS, backoff_factor=0.2, status_forcelist=_PASSING_ANSWERS, raise_on_status=False
    )
    return urllib3.PoolManager(retries=retries, timeout=urllib3.Timeout(connect=10, read=60), maxsize=32)


@contextmanager
def _asked(address: str, headers: dict[str, str]) -> Iterator[urllib3.BaseHTTPResponse]:
    # A packed answer would have another length than the file.
    answer = _pool().request("GET", address, headers={"Accept-Encoding": "identity", **headers}, preload_content=False)
    try:
        if answer.status >= 400 and answer.status != 416:
            remedy = "check the name and data.public_address" if answer.status in (404, 410) else "try again later"
            raise InputError(f"{address}: the server answers HTTP {answer.status}; {remedy}")
        yield answer
    finally:
        answer.close()  # what was not read would otherwise be in the way of the next answer


def _is_page(answer: urllib3.BaseHTTPResponse) -> bool:
    return answer.headers.get("Content-Type", "").startswith("text/html")


def _version(answer: urllib3.BaseHTTPResponse) -> str:
    return answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""


@contextmanager
def _told(address: str) -> Iterator[None]:
    try:
        yield
    except MaxRetryError as error:
        if isinstance(error.reason, SSLError):
            raise InputError(f"{address}: the server's certificate is not trusted: {error.reason}") from error
        raise InputError(f"{address}: cannot be reached; check the network and data.public_address") from error
    except (HTTPError, EOFError) as error:
        raise RunError(f"{address}: the connection keeps breaking ({error}); run again to continue") from error

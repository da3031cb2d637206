"""One file into S3: in parts, several at a time; what an interrupted upload left behind is not sent again."""

import base64
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import botocore.exceptions

from hepspark.config import Config
from hepspark.errors import RunError
from hepspark.storage import local
from hepspark.storage.s3 import SHA256, S3Store
from hepspark.storage.s3_client import client, code_of, split, told
from hepspark.transfer.digest import Digest, digest, md5

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

Status = Literal["there", "sent", "resumed"]

_PLAIN_MD5 = re.compile(r'^"?([0-9a-f]{32})"?$')


def send(path: Path, url: str, config: Config, advance: Callable[[int], None]) -> tuple[Digest, Status]:
    """Bring a file to a URL in S3, unless it is there.

    Args:
        path: The file.
        url: Its object, s3a://bucket/key.
        config: Sections `storage` and `data`.
        advance: Is told the bytes that are done, in all the size of the file.

    Raises:
        InputError: the file or the store cannot be used.
        RunError: the store does not hold what was sent.
    """
    store = S3Store(config.storage)
    content = digest(path, config.data.part_mb)
    if _holds(store.head(url), content, path):
        advance(content.size)
        return content, "there"
    status: Status = "sent"
    if len(content.part_md5) == 1:
        _put(path, url, content, config)
        advance(content.size)
    else:
        upload, done = _unfinished(url, content, config)
        status = "resumed" if done else "sent"
        _put_parts(path, url, content, config, upload, done, advance)
        if upload and not _marked(store.head(url), content):
            # The upload had been begun for another file with the same first parts: its metadata is not ours.
            _put_parts(path, url, content, config, None, {}, lambda _: None)
            status = "sent"
    if not _marked(store.head(url), content):
        raise RunError(f"{url}: does not have the content of {path}; another program may write there; run again")
    return content, status


def plain_md5(etag: str) -> str | None:
    """The MD5 that an ETag is, None where it is another thing (an object of several parts)."""
    match = _PLAIN_MD5.match(etag)
    return match[1] if match else None


def _marked(head: "HeadObjectOutputTypeDef | None", content: Digest) -> bool:
    return head is not None and head["ContentLength"] == content.size and head["Metadata"].get(SHA256) == content.sha256


def _holds(head: "HeadObjectOutputTypeDef | None", content: Digest, path: Path) -> bool:
    if head is None or head["ContentLength"] != content.size:
        return False
    if SHA256 in head["Metadata"]:
        return head["Metadata"][SHA256] == content.sha256
    return plain_md5(head["ETag"]) == md5(path)


@contextmanager
def _sent(path: Path, url: str, config: Config) -> Iterator[None]:
    with local.told(str(path), "read"), told(url, config.storage):
        try:
            yield
        except botocore.exceptions.ClientError as error:
            if code_of(error) in ("BadDigest", "InvalidDigest"):
                raise RunError(f"{path}: changed while it was sent, or was damaged on the way; run again") from error
            raise


def _put(path: Path, url: str, content: Digest, config: Config) -> None:
    bucket, key = split(url)
    with _sent(path, url, config), path.open("rb") as stream:
        client(config.storage).put_object(
            Bucket=bucket,
            Key=key,
            Body=stream.read(),
            ContentMD5=base64.b64encode(content.part_md5[0]).decode(),
            Metadata={SHA256: content.sha256},
        )


def _put_parts(
    path: Path,
    url: str,
    content: Digest,
    config: Config,
    upload: str | None,
    done: dict[int, str],
    advance: Callable[[int], None],
) -> None:
    bucket, key = split(url)
    s3 = client(config.storage)

    def put_part(number: int) -> tuple[int, str]:
        with path.open("rb") as stream:
            stream.seek((number - 1) * content.part_bytes)
            body = stream.read(content.part_bytes)
        answer = s3.upload_part(
            Bucket=bucket,
            Key=key,
            UploadId=upload_id,
            PartNumber=number,
            Body=body,
            ContentMD5=base64.b64encode(content.part_md5[number - 1]).decode(),
        )
        return number, answer["ETag"]

    with _sent(path, url, config):
        upload_id = (
            upload or s3.create_multipart_upload(Bucket=bucket, Key=key, Metadata={SHA256: content.sha256})["UploadId"]
        )
        etags = dict(done)
        advance(sum(_length(content, number) for number in done))
        missing = [number for number in range(1, len(content.part_md5) + 1) if number not in done]
        with ThreadPoolExecutor(config.data.threads) as pool:
            under_way = [pool.submit(put_part, number) for number in missing]
            try:
                for future in as_completed(under_way):
                    number, etags[number] = future.result()
                    advance(_length(content, number))
            except BaseException:  # an interrupt too: parts that were not begun are left for the next time
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        s3.complete_multipart_upload(
            Bucket=bucket,
            Key=key,
            UploadId=upload_id,
            MultipartUpload={"Parts": [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]},
        )


def _length(content: Digest, number: int) -> int:
    return min(content.part_bytes, content.size - (number - 1) * content.part_bytes)


def _unfinished(url: str, content: Digest, config: Config) -> tuple[str | None, dict[int, str]]:
    """The upload that was interrupted furthest, and the ETags of its parts; all of them are this file's.

    An upload with other parts is somebody else's, or of an older file; the store's own rules remove it in time.
    """
    bucket, key = split(url)
    s3 = client(config.storage)
    best: tuple[str | None, dict[int, str]] = (None, {})
    try:
        with told(url, config.storage):
            pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=key)
            uploads = [found["UploadId"] for page in pages for found in page.get("Uploads", []) if found["Key"] == key]
            for upload in uploads:
                parts = [
                    part
                    for page in s3.get_paginator("list_parts").paginate(Bucket=bucket, Key=key, UploadId=upload)
                    for part in page.get("Parts", [])
                ]
                ours = all(
                    part["PartNumber"] <= len(content.part_md5)
                    and part["Size"] == _length(content, part["PartNumber"])
                    and plain_md5(part["ETag"]) == content.part_md5[part["PartNumber"] - 1].hex()
                    for part in parts
                )
                if ours and len(parts) > len(best[1]):
                    best = upload, {part["PartNumber"]: part["ETag"] for part in parts}
    except Exception as error:
        cause = error.__cause__
        # Rights that are narrowed to writing may not list uploads: then everything is sent again.
        if not (isinstance(cause, botocore.exceptions.ClientError) and code_of(cause) == "AccessDenied"):
            raise
    return best

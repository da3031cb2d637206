"""Brings about the buckets, policies and users that the chart's values declare, and says of each what was done.

    python provision.py SPEC CREDENTIALS

SPEC is the JSON that the chart renders. CREDENTIALS is a folder: `root/` and `users/NAME/` each hold the files
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. What SPEC does not name is left alone, so the program may run at any time
and any number of times. It ends with 0 when all is there, 1 when the server fails, 2 when the values are wrong.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import boto3.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    SSLError,
)
from minio import MinioAdmin
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OWN = "hepspark"
"""Name of the one rule of a bucket's policy and of its lifecycle that is ours; other rules are somebody else's."""

STRANGERS = ("InvalidAccessKeyId", "SignatureDoesNotMatch")
"""What the server answers to credentials that it does not know, or whose user is disabled."""


class ValuesError(Exception):
    """The values are wrong; the message begins with the key."""


class ServerError(Exception):
    """The server did not answer, or not in time."""


class Credentials(NamedTuple):
    """An access key and its secret."""

    access_key: str
    secret_key: str


def credentials(folder: Path, key: str) -> Credentials:
    """The credentials in a folder; `key` names the Secret among the values."""
    pair = Credentials(*((folder / name).read_text() for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")))
    if any(value != value.strip() or not value for value in pair):
        raise ValuesError(f"{key}: a key of the Secret is empty, or has a space or line break at an end")
    return pair


def s3_client(spec: dict[str, Any], who: Credentials) -> "S3Client":
    """A client of the server in the name of somebody."""
    # A session of its own: boto3 keeps the credentials of the one that it shares.
    return boto3.session.Session(*who).client(
        "s3",
        endpoint_url=spec["endpoint"],
        region_name=spec["region"],
        config=Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3}),
    )


def wait(spec: dict[str, Any], s3: "S3Client") -> set[str]:
    """The names of the buckets, as soon as the server knows its administrator."""
    end = time.monotonic() + spec["timeoutSeconds"]
    while True:
        try:
            return {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
        except SSLError as error:
            raise ValuesError(
                f"tls.caConfigMap: its authority did not sign the certificate of {spec['endpoint']}: {error}"
            ) from error
        except (EndpointConnectionError, ConnectTimeoutError, HTTPClientError) as error:
            last = str(error)
        except ClientError as error:
            if error.response["Error"]["Code"] in STRANGERS:
                raise ValuesError(
                    "auth.existingSecret: the server refuses these credentials; if the Secret has changed, "
                    "restart the server"
                ) from error
            last = str(error)
        if time.monotonic() > end:
            raise ServerError(f"no answer within {spec['timeoutSeconds']} s (provision.timeoutSeconds): {last}")
        time.sleep(0.5)


def report(what: str, *, new: bool, changed: bool) -> None:
    """Say in one line what became of a thing."""
    print(f"{what}: {'made' if new else 'changed' if changed else 'was there'}", flush=True)


@contextmanager
def blamed_on(key: str) -> Iterator[None]:
    """Have what the server refuses named by the key of the values that asked for it."""
    try:
        yield
    except MinioAdminException as error:
        raise ValuesError(f"{key}: {error}") from error
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
            raise
        raise ValuesError(f"{key}: {error}") from error


def bring_bucket(s3: "S3Client", bucket: dict[str, Any], existing: set[str]) -> None:
    """A bucket with exactly the versioning, public access and expiry that are declared."""
    name = bucket["name"]
    if name not in existing:
        s3.create_bucket(Bucket=name)  # MinIO has but one region, so none is named
    changes = [
        bring_versioning(s3, name, bucket.get("versioning", False)),
        bring_public_read(s3, name, bucket.get("publicRead", False)),
        bring_expiry(s3, name, bucket.get("expireDays", 0)),
    ]
    report(f"bucket {name}", new=name not in existing, changed=any(changes))


def bring_versioning(s3: "S3Client", bucket: str, wanted: bool) -> bool:
    """Whether versioning had to be turned on or off."""
    if (s3.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled") == wanted:
        return False
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled" if wanted else "Suspended"})
    return True


def bring_public_read(s3: "S3Client", bucket: str, wanted: bool) -> bool:
    """Whether everybody's right to read objects had to be given or taken."""
    ours = {
        "Sid": OWN,
        "Effect": "Allow",
        "Principal": {"AWS": ["*"]},
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{bucket}/*"],
    }
    before = rules("NoSuchBucketPolicy", lambda: json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"])
    after = [each for each in before if each.get("Sid") != OWN] + [ours] * wanted
    if after and after != before:
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": after}))
    elif before and not after:
        s3.delete_bucket_policy(Bucket=bucket)
    return after != before


def bring_expiry(s3: "S3Client", bucket: str, days: int) -> bool:
    """Whether the age at which objects are deleted had to be set or lifted; 0 days: they are kept."""
    ours = {
        "ID": OWN,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"Days": days},
        "NoncurrentVersionExpiration": {"NoncurrentDays": days},  # or a versioned bucket would keep all
    }
    before = rules(
        "NoSuchLifecycleConfiguration", lambda: s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    )
    after = [each for each in before if each.get("ID") != OWN] + [ours] * bool(days)
    if after and after != before:
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": after})
    elif before and not after:
        s3.delete_bucket_lifecycle(Bucket=bucket)
    return after != before


def rules(absent: str, read: Callable[[], Any]) -> list[Any]:
    """The rules that a bucket has; none where the server answers `absent`."""
    try:
        return list(read())
    except ClientError as error:
        if error.response["Error"]["Code"] == absent:
            return []
        raise


def bring_policy(admin: MinioAdmin, policy: dict[str, Any]) -> None:
    """A policy with the declared statements."""
    name = policy["name"]
    before = json.loads(admin.policy_list()).get(name)
    admin.policy_add(name, policy={"Version": "2012-10-17", "Statement": policy["statements"]})
    # The server keeps statements in a form of its own: only what it gives back can be compared.
    report(f"policy {name}", new=before is None, changed=json.loads(admin.policy_list())[name] != before)


def bring_user(spec: dict[str, Any], admin: MinioAdmin, user: dict[str, Any], who: Credentials) -> None:
    """A user with the Secret's credentials and exactly the declared policies."""
    known = json.loads(admin.user_list()).get(who.access_key)
    changed = not is_known(spec, who)
    if changed:
        admin.user_add(*who)
    if not known or set(known.get("policyName", "").split(",")) != set(user["policies"]):
        admin.policy_set(",".join(user["policies"]), who.access_key)
        changed = True
    report(f"user {user['name']}", new=known is None, changed=changed)


def is_known(spec: dict[str, Any], who: Credentials) -> bool:
    """Whether the server lets somebody in, with whatever rights."""
    try:
        s3_client(spec, who).list_buckets()
    except ClientError as error:
        return error.response["Error"]["Code"] not in STRANGERS
    return True


def check(users: list[dict[str, Any]], secrets: dict[str, Credentials], policies: set[str]) -> None:
    """See that users can be told apart and that their policies exist, before anything is changed."""
    owners: dict[str, str] = {}
    for user in users:
        name, access_key = user["name"], secrets[user["name"]].access_key
        if owners.setdefault(access_key, name) != name:
            raise ValuesError(f"users[{name}].existingSecret: {owners[access_key]} has the same access key")
        for policy in user["policies"]:
            if policy not in policies:
                raise ValuesError(
                    f"users[{name}].policies: {policy} is not declared, and the server has only "
                    + ", ".join(sorted(policies))
                )


def provision(spec: dict[str, Any], folder: Path) -> None:
    """Bring about all that the specification declares.

    Raises:
        ValuesError: the values are wrong.
        ServerError: the server did not answer.
    """
    root = credentials(folder / "root", "auth.existingSecret")
    users = {
        user["name"]: credentials(folder / "users" / user["name"], f"users[{user['name']}].existingSecret")
        for user in spec["users"]
    }
    s3 = s3_client(spec, root)
    existing = wait(spec, s3)
    address = urlsplit(spec["endpoint"])
    admin = MinioAdmin(
        endpoint=address.netloc,
        secure=address.scheme == "https",
        region=spec["region"],
        credentials=StaticProvider(*root),
    )
    check(spec["users"], users, {*json.loads(admin.policy_list()), *(policy["name"] for policy in spec["policies"])})
    for bucket in spec["buckets"]:
        with blamed_on(f"buckets[{bucket['name']}]"):
            bring_bucket(s3, bucket, existing)
    for policy in spec["policies"]:
        with blamed_on(f"policies[{policy['name']}]"):
            bring_policy(admin, policy)
    for user in spec["users"]:
        with blamed_on(f"users[{user['name']}]"):
            bring_user(spec, admin, user, users[user["name"]])


def run(program: Callable[[dict[str, Any], Path], None], arguments: list[str]) -> int:
    """Run a program of this chart with the arguments SPEC and CREDENTIALS; its exit code."""
    spec, folder = arguments
    try:
        program(json.loads(Path(spec).read_text()), Path(folder))
    except ValuesError as error:
        print(error, file=sys.stderr)
        return 2
    except (ServerError, BotoCoreError, ClientError, HTTPError, MinioAdminException) as error:
        print(f"the server failed: {error}; see its log, then run this again", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run(provision, sys.argv[1:]))

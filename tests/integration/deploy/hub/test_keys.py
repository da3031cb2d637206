"""What a workspace's keys open in a real store, and what is told where there are none."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3.session
import pytest
from botocore.exceptions import ClientError
from hepspark_hub.keys import Source, UnavailableError, source_of
from hepspark_hub.workspace import prefix_of
from minio import MinioAdmin
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException

from tests.integration.deploy.hub.conftest import BUCKET, PRIVATE, PUBLIC
from tests.integration.middleman import free_port_url
from tests.integration.s3_servers import Server
from tests.integration.test_minio_provision import Chart, denied
from tests.unit.hub_settings import settings

PLAIN = ["ada", "ada-2", "ada.b", "a"]
NAMES = [*PLAIN, "*", "a*", "ad?", "..", "ada/../bob", "${aws:username}", 'a"b', "x-616461", "ü@b"]


@pytest.fixture
def hub(store: Chart, aws_environment: pytest.MonkeyPatch) -> Callable[..., Source]:
    """Gives what the hub asks for keys, by its own user of the store."""
    aws_environment.setenv("AWS_ACCESS_KEY_ID", f"hub-{store.own}")
    aws_environment.setenv("AWS_SECRET_ACCESS_KEY", "password-of-hub")

    def source(endpoint: str = store.minio.endpoint, folder: Path = Path("/nowhere"), **workspace: Any) -> Source:
        given = settings(
            storage={"endpoint": endpoint},
            workspace={"bucket": BUCKET, "public": [PUBLIC], "minutes": 15, **workspace},
        )
        return source_of(given, folder)

    return source


def told(source: Source, user: str = "ada") -> str:
    with pytest.raises(UnavailableError) as caught:
        source(user)
    return str(caught.value)


def test_each_user_has_a_folder_that_nobody_else_opens(hub, store: Chart) -> None:
    source = hub()
    own = {name: store.with_keys(source(name)) for name in NAMES}
    for name, s3 in own.items():
        prefix = prefix_of(name)
        s3.put_object(Bucket=BUCKET, Key=f"{prefix}a/b", Body=name.encode())
        assert s3.get_object(Bucket=BUCKET, Key=f"{prefix}a/b")["Body"].read() == name.encode()
        listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
        assert [each["Key"] for each in listed] == [f"{prefix}a/b"]
        # Each against its neighbours; all against all would be long.
        for other in map(prefix_of, {*PLAIN, NAMES[NAMES.index(name) - 1]} - {name}):
            assert denied(s3.get_object, Bucket=BUCKET, Key=f"{other}a/b") == "AccessDenied"
            assert denied(s3.list_objects_v2, Bucket=BUCKET, Prefix=other) == "AccessDenied"
    for call in ("put_object", "delete_object"):
        assert denied(getattr(own["ada"], call), Bucket=BUCKET, Key="ada-2/a/b") == "AccessDenied"


def test_the_keys_open_nothing_but_the_folder_and_public_data(hub, store: Chart) -> None:
    for bucket in (PUBLIC, PRIVATE):
        store.s3().put_object(Bucket=bucket, Key="x", Body=b"1")
    s3 = store.with_keys(hub()("ada"))
    assert s3.get_object(Bucket=PUBLIC, Key="x")["Body"].read() == b"1"
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=PUBLIC)["Contents"]] == ["x"]
    refused: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (s3.put_object, {"Bucket": PUBLIC, "Key": "y", "Body": b""}),
        (s3.delete_object, {"Bucket": PUBLIC, "Key": "x"}),
        (s3.get_object, {"Bucket": PRIVATE, "Key": "x"}),
        (s3.list_objects_v2, {"Bucket": PRIVATE}),
        (s3.list_objects_v2, {"Bucket": BUCKET}),
        (s3.list_objects_v2, {"Bucket": BUCKET, "Prefix": "ada"}),
        (s3.list_objects_v2, {"Bucket": BUCKET, "Delimiter": "/"}),
        (s3.list_multipart_uploads, {"Bucket": BUCKET}),
        (s3.copy_object, {"Bucket": BUCKET, "Key": "ada/x", "CopySource": f"{PRIVATE}/x"}),
        (s3.put_bucket_policy, {"Bucket": BUCKET, "Policy": "{}"}),
        (s3.create_bucket, {"Bucket": "of-ada"}),
    ]
    for call, arguments in refused:
        assert denied(call, **arguments) == "AccessDenied", (call, arguments)
    assert {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]} <= {BUCKET, PUBLIC}


def test_nobody_makes_larger_keys_of_them(hub, store: Chart) -> None:
    keys = hub()("ada")
    who = keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]
    sts = boto3.session.Session(*who).client("sts", endpoint_url=store.minio.endpoint, region_name="us-east-1")
    role = "arn:aws:iam::000000000000:role/any"
    assert denied(sts.assume_role, RoleArn=role, RoleSessionName="larger") == "AccessDenied"
    address = store.minio.endpoint.removeprefix("http://")
    admin = MinioAdmin(endpoint=address, secure=False, region="us-east-1", credentials=StaticProvider(*who))
    for call in (admin.user_list, admin.add_service_account):
        with pytest.raises(MinioAdminException, match="AccessDenied"):
            call()


def test_they_expire_and_cannot_be_altered(hub, store: Chart) -> None:
    keys = hub()("ada")
    seconds = (datetime.strptime(keys["Expiration"], "%Y-%m-%dT%H:%M:%S%z") - datetime.now(UTC)).total_seconds()
    assert 14 * 60 < seconds <= 15 * 60
    header, claims, signature = keys["SessionToken"].split(".")
    other = hub()("bob")["SessionToken"]
    for token in (None, "", f"{header}.{claims}.{signature[::-1]}", f"{header}.{claims}.", other):
        with pytest.raises(ClientError) as caught:
            store.with_keys({**keys, "SessionToken": token}).get_object(Bucket=PUBLIC, Key="x")
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_store_that_gives_none_is_named(hub, aws_environment: pytest.MonkeyPatch) -> None:
    nowhere = free_port_url()
    assert re.match(f"{nowhere} gives no credentials: Could not connect", told(hub(nowhere)))
    assert nowhere in told(hub(sts_endpoint=nowhere))
    long = told(hub(public=[f"bucket-{number}" for number in range(100)]))
    assert "name fewer public buckets" in long
    aws_environment.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    message = told(hub())
    assert "gives no credentials" in message
    assert "no STS" not in message


@pytest.mark.parametrize("server", ["versitygw"], indirect=True)
def test_a_store_without_sts_is_named_with_what_to_do(hub, server: Server) -> None:
    message = told(hub(server.endpoint))
    assert "set workspace.credentials to secret" in message


def test_fixed_keys_come_from_files(hub, tmp_path: Path) -> None:
    source = hub(folder=tmp_path, credentials="secret")
    (tmp_path / "ada").write_text("AKIA secret/of+ada\n")
    assert source("ada") == {"Version": 1, "AccessKeyId": "AKIA", "SecretAccessKey": "secret/of+ada"}
    (tmp_path / "x-612f62").write_text("key\nsecret")
    assert source("a/b")["SecretAccessKey"] == "secret"
    (tmp_path / "bob").write_text("only-one")
    assert told(source, "bob") == "bob in the Secret of workspaces is not an access key and its secret"
    assert told(source, "../ada") == "no keys for ../ada: put x-2e2e2f616461 into the Secret of workspaces"

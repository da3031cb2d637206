"""The programs of the minio chart against a real server."""

import json
import subprocess
import sys
import uuid
from pathlib import Path

import boto3.session
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.integration.middleman import free_port_url
from tests.integration.s3_servers import Server, Servers

FILES = Path(__file__).parents[2] / "helm" / "minio" / "files"


class Chart:
    """What the chart mounts into its pods, and what runs there."""

    def __init__(self, folder: Path, minio: Server) -> None:
        self.folder, self.minio = folder, minio
        self.own = uuid.uuid4().hex[:8]  # tests share the server
        self.spec = {"endpoint": minio.endpoint, "region": "us-east-1", "timeoutSeconds": 20}
        self.spec |= {"buckets": [], "policies": [], "users": []}
        self.set_secret("root", minio.user, minio.password)

    def set_secret(self, place: str, access_key: str, secret_key: str) -> None:
        folder = self.folder / "credentials" / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "AWS_ACCESS_KEY_ID").write_text(access_key)
        (folder / "AWS_SECRET_ACCESS_KEY").write_text(secret_key)

    def set_user(self, name: str, password: str, *policies: str) -> None:
        others = [user for user in self.spec["users"] if user["name"] != name]
        self.spec["users"] = [*others, {"name": name, "policies": list(policies)}]
        self.set_secret(f"users/{name}", f"{name}-{self.own}", password)

    def set_bucket(self, **settings: object) -> str:
        self.spec["buckets"] = [{"name": f"data-{self.own}", **settings}]
        return self.spec["buckets"][0]["name"]

    def run(self, program: str, code: int = 0, **environment: object) -> str:
        """What the program says; on standard error if it is to fail."""
        (self.folder / "spec.json").write_text(json.dumps(self.spec))
        ended = subprocess.run(
            [sys.executable, FILES / program, self.folder / "spec.json", self.folder / "credentials"],
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONDONTWRITEBYTECODE": "1", **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ended.returncode == code, ended.stdout + ended.stderr
        assert self.minio.password not in ended.stdout + ended.stderr
        return ended.stderr if code else ended.stdout

    def provision(self, code: int = 0, **environment: object) -> list[str]:
        return self.run("provision.py", code, **environment).splitlines()

    def s3(self, access_key: str = "", secret_key: str = ""):
        pair = (access_key or self.minio.user, secret_key or self.minio.password)
        return boto3.session.Session(*pair).client("s3", endpoint_url=self.minio.endpoint, region_name="us-east-1")

    def with_keys(self, keys: dict[str, str]):
        """In the name of whoever has temporary keys, as `credential_process` gives them."""
        session = boto3.session.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys.get("SessionToken"))
        return session.client("s3", endpoint_url=self.minio.endpoint, region_name="us-east-1")

    def s3_of(self, user: str, password: str):
        return self.s3(f"{user}-{self.own}", password)


@pytest.fixture
def chart(tmp_path: Path, server: Server) -> Chart:
    return Chart(tmp_path, server)


def denied(call, **arguments) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"]


def test_all_is_made_and_found_again(chart: Chart) -> None:
    bucket = chart.set_bucket(versioning=True, publicRead=True, expireDays=30)
    policy = f"reader-{chart.own}"
    chart.spec["policies"] = [
        {
            "name": policy,
            # Not in the form in which the server keeps it.
            "statements": [
                {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"},
                {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [f"arn:aws:s3:::{bucket}"]},
            ],
        }
    ]
    chart.set_user("ada", "password-of-ada", "readwrite")
    chart.set_user("bob", "password-of-bob", policy, "writeonly")
    things = [f"bucket {bucket}", f"policy {policy}", "user ada", "user bob"]
    assert chart.provision() == [f"{thing}: made" for thing in things]
    assert chart.provision() == [f"{thing}: was there" for thing in things]

    chart.s3_of("ada", "password-of-ada").put_object(Bucket=bucket, Key="x", Body=b"1")
    assert chart.s3_of("bob", "password-of-bob").get_object(Bucket=bucket, Key="x")["Body"].read() == b"1"
    assert chart.s3().get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    rule = chart.s3().get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"][0]
    assert (rule["Expiration"], rule["NoncurrentVersionExpiration"]) == ({"Days": 30}, {"NoncurrentDays": 30})


def test_a_user_may_do_what_the_policies_say_and_no_more(chart: Chart) -> None:
    bucket = chart.set_bucket()
    chart.set_user("eve", "password-of-eve", "readonly")
    chart.provision()
    eve = chart.s3_of("eve", "password-of-eve")
    chart.s3().put_object(Bucket=bucket, Key="x", Body=b"1")
    assert eve.get_object(Bucket=bucket, Key="x")["Body"].read() == b"1"
    assert denied(eve.put_object, Bucket=bucket, Key="y", Body=b"") == "AccessDenied"

    chart.set_user("eve", "password-of-eve", "readwrite")
    assert chart.provision()[1:] == ["user eve: changed"]
    eve.put_object(Bucket=bucket, Key="y", Body=b"")


def test_everybody_reads_a_public_bucket_and_only_that(chart: Chart) -> None:
    bucket = chart.set_bucket(publicRead=True)
    chart.provision()
    chart.s3().put_object(Bucket=bucket, Key="x", Body=b"1")
    nobody = boto3.client("s3", endpoint_url=chart.minio.endpoint, config=Config(signature_version=UNSIGNED))
    assert nobody.get_object(Bucket=bucket, Key="x")["Body"].read() == b"1"
    assert denied(nobody.put_object, Bucket=bucket, Key="x", Body=b"2") == "AccessDenied"
    assert denied(nobody.list_objects_v2, Bucket=bucket) == "AccessDenied"

    chart.set_bucket()
    assert chart.provision() == [f"bucket {bucket}: changed"]
    assert denied(nobody.get_object, Bucket=bucket, Key="x") == "AccessDenied"


def test_a_bucket_gains_and_loses_what_is_declared_and_keeps_what_others_set(chart: Chart) -> None:
    bucket = chart.set_bucket()
    chart.provision()
    s3 = chart.s3()
    theirs = {"Sid": "theirs", "Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": ["s3:ListBucket"]}
    theirs["Resource"] = [f"arn:aws:s3:::{bucket}"]
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [theirs]}))
    rule = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})

    def state() -> tuple[list[str], list[str], str]:
        statements = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
        rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        versioning = s3.get_bucket_versioning(Bucket=bucket).get("Status", "")
        return [each["Sid"] for each in statements], [each["ID"] for each in rules], versioning

    assert chart.provision() == [f"bucket {bucket}: was there"]
    chart.set_bucket(versioning=True, publicRead=True, expireDays=2)
    assert chart.provision() == [f"bucket {bucket}: changed"]
    assert state() == (["theirs", "hepspark"], ["theirs", "hepspark"], "Enabled")
    chart.set_bucket()
    assert chart.provision() == [f"bucket {bucket}: changed"]
    assert state() == (["theirs"], ["theirs"], "Suspended")


def test_objects_are_kept_once_more_when_no_age_is_declared(chart: Chart) -> None:
    bucket = chart.set_bucket(expireDays=1)
    chart.provision()
    chart.set_bucket()
    assert chart.provision() == [f"bucket {bucket}: changed"]
    assert denied(chart.s3().get_bucket_lifecycle_configuration, Bucket=bucket) == "NoSuchLifecycleConfiguration"


def test_a_changed_password_is_brought_about(chart: Chart) -> None:
    chart.set_user("ada", "first-password", "readwrite")
    chart.provision()
    chart.set_user("ada", "second-password", "readwrite")
    assert chart.provision() == ["user ada: changed"]
    assert chart.provision() == ["user ada: was there"]
    chart.s3_of("ada", "second-password").list_buckets()
    assert denied(chart.s3_of("ada", "first-password").list_buckets) == "SignatureDoesNotMatch"


def test_a_changed_policy_is_brought_about(chart: Chart) -> None:
    bucket = chart.set_bucket()
    policy = {"name": f"p-{chart.own}", "statements": []}
    chart.spec["policies"] = [policy]
    statement = {"Effect": "Allow", "Resource": [f"arn:aws:s3:::{bucket}/*"]}
    policy["statements"] = [statement | {"Action": ["s3:GetObject"]}]
    chart.set_user("ada", "password-of-ada", policy["name"])
    chart.provision()
    ada = chart.s3_of("ada", "password-of-ada")
    assert denied(ada.put_object, Bucket=bucket, Key="x", Body=b"") == "AccessDenied"
    policy["statements"] = [statement | {"Action": ["s3:GetObject", "s3:PutObject"]}]
    assert f"policy {policy['name']}: changed" in chart.provision()
    ada.put_object(Bucket=bucket, Key="x", Body=b"")


def test_what_is_not_declared_any_more_is_left_alone(chart: Chart) -> None:
    bucket = chart.set_bucket(publicRead=True)
    chart.set_user("ada", "password-of-ada", "readwrite")
    chart.provision()
    chart.spec |= {"buckets": [], "users": []}
    assert chart.provision() == []
    chart.s3_of("ada", "password-of-ada").head_bucket(Bucket=bucket)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda chart: chart.set_secret("root", chart.minio.user, "wrong-password"), "auth.existingSecret: "),
        (
            lambda chart: chart.set_user("ada", "password-of-ada", "raedwrite"),
            "users[ada].policies: raedwrite is not declared",
        ),
        (lambda chart: chart.set_user("ada", "short", "readwrite"), "users[ada]: "),
        (lambda chart: chart.set_user("ada", "ends with a line\n", "readwrite"), "users[ada].existingSecret: "),
        (
            lambda chart: chart.set_user("ada", "", "readwrite"),
            "users[ada].existingSecret: a key of the Secret is empty",
        ),
        (lambda chart: chart.spec.update(buckets=[{"name": "ab"}]), "buckets[ab]: "),
        (
            lambda chart: chart.spec.update(
                policies=[{"name": "p", "statements": [{"Effect": "Allow", "Action": "x"}]}]
            ),
            "policies[p]: ",
        ),
    ],
    ids=["root", "unknown policy", "short password", "line break", "empty", "bucket", "policy"],
)
def test_wrong_values_are_named(chart: Chart, spoil, told: str) -> None:
    spoil(chart)
    assert chart.provision(2)[0].startswith(told)


def test_two_users_with_one_access_key_are_refused_before_anything_is_changed(chart: Chart) -> None:
    bucket = chart.set_bucket()
    chart.set_user("ada", "password-of-ada", "readwrite")
    chart.set_user("bob", "password-of-bob", "readwrite")
    chart.set_secret("users/bob", f"ada-{chart.own}", "password-of-bob")
    assert chart.provision(2) == ["users[bob].existingSecret: ada has the same access key"]
    assert denied(chart.s3().head_bucket, Bucket=bucket) == "404"


def test_a_server_that_is_down_is_waited_for_no_longer_than_told(chart: Chart) -> None:
    chart.spec |= {"endpoint": free_port_url(), "timeoutSeconds": 1}
    assert "no answer within 1 s (provision.timeoutSeconds): Could not connect" in chart.provision(1)[0]


def test_the_round_trip_succeeds_and_leaves_nothing(chart: Chart) -> None:
    chart.set_user("ada", "password-of-ada", "readonly")
    chart.provision()
    assert chart.run("roundtrip.py") == "an object was put, read and deleted\nuser ada can sign in\n"
    assert [each["Name"] for each in chart.s3().list_buckets()["Buckets"] if each["Name"].startswith("helm-test")] == []


def test_the_round_trip_fails_for_a_user_who_is_not_let_in(chart: Chart) -> None:
    chart.set_user("ada", "password-of-ada", "readonly")
    assert chart.run("roundtrip.py", 2).startswith("users[ada].existingSecret: the server does not know")


def test_the_certificate_is_verified(s3_servers: Servers, tmp_path: Path) -> None:
    for name in ("certificates", "others"):
        (tmp_path / name).mkdir()
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"),
                *("-days", "1", "-subj", "/CN=minio", "-addext", "subjectAltName=IP:127.0.0.1"),
                *("-keyout", tmp_path / name / "private.key", "-out", tmp_path / name / "public.crt"),
            ],
            check=True,
            capture_output=True,
        )
    with s3_servers.another("minio", tmp_path, tmp_path / "certificates") as server:
        chart = Chart(tmp_path, server)
        chart.set_user("ada", "password-of-ada", "readwrite")
        trusted, other = tmp_path / "certificates" / "public.crt", tmp_path / "others" / "public.crt"
        assert chart.provision(AWS_CA_BUNDLE=trusted, SSL_CERT_FILE=trusted) == ["user ada: made"]
        assert chart.provision(2, AWS_CA_BUNDLE=other, SSL_CERT_FILE=other)[0].startswith("tls.caConfigMap: ")
        # The administration's client has a setting of its own.
        assert "CERTIFICATE_VERIFY_FAILED" in chart.provision(1, AWS_CA_BUNDLE=trusted, SSL_CERT_FILE=other)[0]

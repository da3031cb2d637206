"""The `hepspark data` commands as a user calls them: results on standard output, one message and exit code 2."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hepspark.config import StorageConfig
from hepspark.storage import join, store_for
from tests.integration.middleman import free_port_url


def hepspark(*arguments: str) -> "subprocess.CompletedProcess[str]":
    program = "import sys; from hepspark.cli import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60)


def test_put_ls_get(s3: StorageConfig, bucket: str, tmp_path: Path) -> None:
    endpoint = f"storage.endpoint={s3.endpoint}"
    (tmp_path / "in").write_bytes(b"events")
    put = hepspark("data", "put", str(tmp_path / "in"), join(bucket, "a/in"), "--set", endpoint)
    assert (put.returncode, json.loads(put.stdout)["moved_bytes"]) == (0, 6), put.stderr
    listed = hepspark("data", "ls", bucket, "--set", endpoint)
    assert json.loads(listed.stdout)["entries"] == [{"url": join(bucket, "a/in"), "bytes": 6}]
    get = hepspark("data", "get", join(bucket, "a"), str(tmp_path / "out"), "--set", endpoint)
    assert get.returncode == 0, get.stderr
    assert (tmp_path / "out" / "in").read_bytes() == b"events"


@pytest.mark.parametrize("kind", ["unreachable", "wrong secret", "no credentials"])
def test_a_store_that_refuses_is_one_message_and_exit_code_2(
    s3: StorageConfig, bucket: str, aws_environment: pytest.MonkeyPatch, kind: str
) -> None:
    endpoint, message = str(s3.endpoint), "refuses the credentials or the access"
    if kind == "unreachable":
        endpoint, message = free_port_url(), "cannot be reached; check storage.endpoint"
    elif kind == "wrong secret":
        aws_environment.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    else:
        aws_environment.delenv("AWS_SECRET_ACCESS_KEY")
        aws_environment.delenv("AWS_ACCESS_KEY_ID")
        message = "no S3 credentials found; set AWS_ACCESS_KEY_ID"
    done = hepspark("data", "get", join(bucket, "x"), "y", "--set", f"storage.endpoint={endpoint}")
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_a_link_gives_its_object_without_credentials(s3: StorageConfig, bucket: str) -> None:
    store_for(bucket, s3).write(join(bucket, "report/report ä.html"), b"<p>AUC")
    url = join(bucket, "report/report ä.html")
    done = hepspark("data", "url", url, "--hours", "48", "--set", f"storage.endpoint={s3.endpoint}")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["url"] == url
    assert found["link"] in done.stderr
    assert abs((datetime.fromisoformat(found["until"]) - datetime.now(UTC)).total_seconds() - 48 * 3600) < 60
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in found["link"]
    assert "X-Amz-Expires=172800" in found["link"]
    with urllib.request.urlopen(found["link"], timeout=20) as answer:
        assert answer.read() == b"<p>AUC"
    # It is a key to this object alone.
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(found["link"].replace("report/", "other/"), timeout=20)


@pytest.mark.parametrize(
    ("key", "hours", "message"),
    [
        ("nothing", "1", "nothing: no such object; hepspark data ls shows"),
        ("report", "169", "a link cannot be valid for 169 hours; give 1 to 168, as S3 allows 7 days"),
        ("report", "0", "a link cannot be valid for 0 hours"),
        ("", "1", "no such object"),
    ],
)
def test_a_link_that_cannot_be_made_is_one_message(
    s3: StorageConfig, bucket: str, key: str, hours: str, message: str
) -> None:
    store_for(bucket, s3).write(join(bucket, "report"), b"x")
    done = hepspark("data", "url", join(bucket, key), "--hours", hours, "--set", f"storage.endpoint={s3.endpoint}")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_longest_link_is_7_days(s3: StorageConfig, bucket: str) -> None:
    store_for(bucket, s3).write(join(bucket, "report"), b"x")
    done = hepspark("data", "url", join(bucket, "report"), "--hours", "168", "--set", f"storage.endpoint={s3.endpoint}")
    with urllib.request.urlopen(json.loads(done.stdout)["link"], timeout=20) as answer:
        assert answer.read() == b"x"

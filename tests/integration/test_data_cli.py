"""The `hepspark data` commands as a user calls them: results on standard output, one message and exit code 2."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hepspark.config import StorageConfig
from hepspark.storage import join
from tests.integration.middleman import free_port_url


def hepspark(*arguments: str) -> "subprocess.CompletedProcess[str]":
    program = "import sys; from hepspark.cli import run; sys.exit(run())"
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

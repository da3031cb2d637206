"""Settings of S3 that cannot be used: one message that names the file, the key or variable, and the remedy."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hepspark.cli import main
from hepspark.config import StorageConfig
from hepspark.errors import InputError, UnreachableError
from hepspark.storage.s3 import S3Store
from hepspark.storage.s3_client import forget_clients
from tests.integration.middleman import Answer, Request, free_port_url, serving
from tests.integration.s3_servers import Server

SECRET = "a-secret-that-nobody-may-see"
KEYS = {"AWS_ACCESS_KEY_ID": "an-id", "AWS_SECRET_ACCESS_KEY": SECRET}
ROLE = "role_arn = arn:aws:iam::123456789012:role/x\n"
SOURCE = f"source_profile = q\n[profile q]\naws_access_key_id = a\naws_secret_access_key = {SECRET}\n"
SSO = "sso_account_id = 1\nsso_role_name = r\nsso_start_url = https://127.0.0.1/start\n"
TOKEN = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/no/token"}
PROFILE = "[profile p]\n"
DEFAULT = "[default]\n"
PROCESS = f"{DEFAULT}credential_process = "
TEMPORARY_KEYS = '{{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "Expiration": "2001-01-01T00:00:00Z"}}'


@pytest.fixture
def folder(tmp_path: Path, aws_environment: pytest.MonkeyPatch) -> Path:
    """A home with nothing in it, where the files of AWS are looked for."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.endswith("CA_BUNDLE")]:
        aws_environment.delenv(name)
    aws_environment.setenv("HOME", str(tmp_path))
    aws_environment.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    aws_environment.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path


def refused(storage: StorageConfig, kind: type[InputError] = InputError) -> str:
    """What is told of a listing, which is refused."""
    with pytest.raises(kind) as error:
        S3Store(storage).walk("s3a://events/x")
    told = str(error.value)
    assert error.value.exit_code == 2
    assert "\n" not in told
    assert "run again" not in told
    assert SECRET not in told
    return told


def set_all(environment: pytest.MonkeyPatch, folder: Path, variables: dict[str, str], config: str | bytes) -> None:
    for name, value in variables.items():
        environment.setenv(name, value.format(folder=folder))
    text = config if isinstance(config, bytes) else config.format(folder=folder).encode()
    (folder / "config").write_bytes(text)


OF_P = "profile p of {folder}/config"
OF_DEFAULT = "profile default of {folder}/config"


@pytest.mark.parametrize(
    ("variables", "config", "told"),
    [
        ({"AWS_PROFILE": "p"}, "", "no profile 'p' in {folder}/config or {folder}/credentials (no such file); correct"),
        ({"AWS_DEFAULT_PROFILE": "p"}, "", "no profile 'p' in {folder}/config"),
        ({"AWS_PROFILE": "p"}, "[p]\nregion = x\n", "; in {folder}/config, [p] must be [profile p]"),
        ({"AWS_PROFILE": "p"}, f"{PROFILE}{SSO}sso_region = x\n", f"{OF_P} needs a sign-in (SSO)"),
        ({"AWS_PROFILE": "p"}, f"{PROFILE}{SSO}sso_region = x\n", "run `aws sso login --profile p`"),
        (
            {"AWS_PROFILE": "p"},
            f"{PROFILE}{SSO}sso_session = s\n[sso-session s]\nsso_region = x\nsso_start_url = https://127.0.0.1/start\n",
            "run `aws sso login --profile p`",
        ),
        ({"AWS_PROFILE": "p"}, f"{PROFILE}{SSO}sso_session = gone\n", f'"gone"; correct sso_session of {OF_P}'),
        ({"AWS_PROFILE": "p"}, f"{PROFILE}{SSO}", f"configuration: sso_region; correct sso_start_url of {OF_P}"),
        ({"AWS_PROFILE": "p"}, f"{PROFILE}{ROLE}source_profile = gone\n", f"correct source_profile of {OF_P}"),
        ({"AWS_PROFILE": "p"}, f"{PROFILE}{ROLE}", f"{OF_P} lacks source_profile or credential_source"),
        ({"AWS_PROFILE": "p"}, f"{PROFILE}{ROLE}source_profile = p\n", f"loop .* correct source_profile of {OF_P}"),
        ({"AWS_PROFILE": "p"}, f"{PROFILE}{ROLE}credential_source = Nothing\n", f"correct credential_source of {OF_P}"),
        ({"AWS_PROFILE": "p", "AWS_ENDPOINT_URL_STS": "{dead}"}, f"{PROFILE}{ROLE}{SOURCE}", f"role_arn of {OF_P}"),
        ({}, "no section\n", "line 1 is wrong: no [section] is before it; correct it"),
        ({}, f"aws_secret_access_key = {SECRET}\n", "{folder}/config cannot be read: line 1 is wrong"),
        ({}, f"{DEFAULT}{SECRET}\n", "{folder}/config cannot be read: line 2 is wrong: expected key = value"),
        ({}, f"{DEFAULT}{DEFAULT}", "{folder}/config cannot be read: line 2 is wrong: its [section] is there twice"),
        ({}, f"{DEFAULT}region = a\nregion = b\n", "/config cannot be read: line 3 is wrong: its key is there twice"),
        ({}, b"\xff\xfe[default]", "{folder}/config cannot be read: it is not UTF-8 text"),
        ({}, f"{PROCESS}sh -c 'echo no luck >&2; exit 1'\n", f"no luck; correct credential_process of {OF_DEFAULT}"),
        ({}, f"{PROCESS}/no/such/program\n", f"'/no/such/program'; correct credential_process of {OF_DEFAULT}"),
        ({}, f"{PROCESS}{{folder}}/config\n", f"{{folder}}/config'; correct credential_process of {OF_DEFAULT}"),
        ({}, f"{PROCESS}echo hello\n", f"JSONDecodeError: .*; correct credential_process of {OF_DEFAULT}"),
        ({}, f"{PROCESS}true\n", f"correct credential_process of {OF_DEFAULT}"),
        ({}, f"{PROCESS}echo []\n", f"correct credential_process of {OF_DEFAULT}"),
        ({}, f"{PROCESS}echo 'x\n", f"No closing quotation; correct credential_process of {OF_DEFAULT}"),
        ({}, f"{PROCESS}echo '{{{{}}}}'\n", f"correct credential_process of {OF_DEFAULT}"),
        ({}, f"{PROCESS}echo '{TEMPORARY_KEYS}'\n", f"still expired.; correct credential_process of {OF_DEFAULT}"),
        ({**TOKEN, "AWS_ROLE_ARN": "arn:aws:iam::1234:role/x"}, "", "'/no/token'; correct AWS_WEB_IDENTITY_TOKEN_FILE"),
        (TOKEN, "", "no role ARN configured.*; correct AWS_WEB_IDENTITY_TOKEN_FILE"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{dead}/x"}, "", "correct AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.org/x"}, "", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        ({"AWS_ACCESS_KEY_ID": "a"}, "", "AWS_SECRET_ACCESS_KEY is not set, but AWS_ACCESS_KEY_ID is; set both"),
        ({"AWS_SECRET_ACCESS_KEY": SECRET}, "", "no S3 credentials found; set AWS_ACCESS_KEY_ID and"),
        ({"AWS_SHARED_CREDENTIALS_FILE": "/no/file"}, "", "/no/file (no such file)"),
        ({}, f"{DEFAULT}aws_access_key_id = a\n", f"{OF_DEFAULT} lacks aws_secret_access_key; add it"),
        ({**KEYS, "AWS_DEFAULT_REGION": "no region"}, "", "AWS_DEFAULT_REGION=no region is not the name of a region"),
        ({**KEYS, "AWS_REGION": "no region", "AWS_DEFAULT_REGION": "b"}, "", "AWS_REGION=no region is not the name"),
        (KEYS, f"{DEFAULT}region = no region\n", f"region=no region of {OF_DEFAULT} is not the name of a region"),
        ({**KEYS, "AWS_METADATA_SERVICE_TIMEOUT": "many"}, "", "correct AWS_METADATA_SERVICE_TIMEOUT"),
        ({**KEYS, "AWS_ACCOUNT_ID_ENDPOINT_MODE": "many"}, "", "correct AWS_ACCOUNT_ID_ENDPOINT_MODE"),
        ({**KEYS, "AWS_SESSION_TOKEN": f"{SECRET}\nx"}, "", "such as a line break; correct AWS_ACCESS_KEY_ID and"),
        ({**KEYS, "AWS_DEFAULTS_MODE": "many"}, "", "correct AWS_DEFAULTS_MODE"),
        ({**KEYS, "AWS_STS_REGIONAL_ENDPOINTS": "many"}, "", "correct AWS_STS_REGIONAL_ENDPOINTS"),
        ({**KEYS, "AWS_EC2_METADATA_SERVICE_ENDPOINT": "many"}, "", "correct AWS_EC2_METADATA_SERVICE_ENDPOINT"),
        (KEYS, f"{DEFAULT}s3 = x\n", f"AttributeError: .*; correct {OF_DEFAULT}, or the AWS variables"),
    ],
)  # fmt: skip
def test_what_every_aws_program_reads(
    folder: Path, aws_environment: pytest.MonkeyPatch, variables: dict[str, str], config: str | bytes, told: str
) -> None:
    dead = free_port_url()
    set_all(aws_environment, folder, {name: value.replace("{dead}", dead) for name, value in variables.items()}, config)
    pattern = re.escape(told.format(folder=folder)).replace(r"\.\*", ".*")
    # An endpoint where nothing listens: settings are looked at first.
    with serving(lambda _: Answer(404)) as address:
        assert re.search(pattern, found := refused(StorageConfig(endpoint=address, attempts=1))), found


@pytest.mark.parametrize(
    ("variables", "config", "changes", "told"),
    [
        (
            {},
            "",
            {"endpoint": "localhost:9000"},
            "storage.endpoint=localhost:9000 is not an address; expected http://host",
        ),
        ({}, "", {"endpoint": "http://127.0.0.1:99999"}, "storage.endpoint=http://127.0.0.1:99999 is not an address"),
        ({}, "", {"endpoint": "ftp://127.0.0.1"}, "storage.endpoint=ftp://127.0.0.1 is not an address"),
        ({"AWS_ENDPOINT_URL": "garbage"}, "", {}, "AWS_ENDPOINT_URL=garbage is not an address"),
        ({"AWS_ENDPOINT_URL": "http://[::1"}, "", {}, "AWS_ENDPOINT_URL=http://[::1 is not an address"),
        ({}, "", {"endpoint": f"ftp://me:{SECRET}@127.0.0.1"}, "storage.endpoint=ftp://127.0.0.1 is not an address"),
        ({"AWS_ENDPOINT_URL_S3": "garbage"}, "", {}, "AWS_ENDPOINT_URL_S3=garbage is not an address"),
        ({}, f"{DEFAULT}endpoint_url = garbage\n", {}, f"endpoint_url=garbage of {OF_DEFAULT} is not an address"),
        ({}, f"{DEFAULT}services = gone\n", {}, f"does not exist.; correct services of {OF_DEFAULT}"),
        (
            {},
            "",
            {"endpoint": "https://127.0.0.1:1", "region": "no region"},
            "storage.region=no region is not the name",
        ),
    ],
)
def test_an_endpoint_that_is_no_address(
    folder: Path,
    aws_environment: pytest.MonkeyPatch,
    variables: dict[str, str],
    config: str,
    changes: dict[str, str],
    told: str,
) -> None:
    set_all(aws_environment, folder, KEYS | variables, config)
    assert told.format(folder=folder) in refused(StorageConfig(attempts=1, **changes))


@pytest.mark.parametrize(
    ("variables", "config", "given", "told"),
    [
        ({"AWS_CA_BUNDLE": "/no/ca.pem"}, "", None, "AWS_CA_BUNDLE=/no/ca.pem: No such file or directory"),
        ({"AWS_CA_BUNDLE": "{folder}"}, "", None, "AWS_CA_BUNDLE={folder}: Is a directory"),
        ({"AWS_CA_BUNDLE": "{folder}/config"}, "", None, "AWS_CA_BUNDLE={folder}/config: holds no certificate in PEM"),
        ({"REQUESTS_CA_BUNDLE": "/no/ca.pem"}, "", None, "REQUESTS_CA_BUNDLE=/no/ca.pem: No such file"),
        ({"REQUESTS_CA_BUNDLE": "/no"}, f"{DEFAULT}ca_bundle = /no/x\n", None, f"ca_bundle=/no/x of {OF_DEFAULT}: No"),
        ({}, "", "{folder}/config", "storage.ca_bundle={folder}/config: holds no certificate in PEM"),
        ({}, "", "/no/ca.pem", "storage.ca_bundle: /no/ca.pem cannot be read; correct the path"),
        (
            {},
            "",
            None,
            "does not speak TLS (HTTPS); write http:// instead of https://, or correct the port, in",
        ),
    ],
)
def test_certificates_and_a_port_without_tls(
    folder: Path,
    aws_environment: pytest.MonkeyPatch,
    variables: dict[str, str],
    config: str,
    given: str | None,
    told: str,
) -> None:
    set_all(aws_environment, folder, KEYS | variables, config)  # which is no file of certificates
    with serving(lambda _: Answer(404)) as address:
        storage = StorageConfig(
            endpoint=address.replace("http:", "https:"), attempts=1, ca_bundle=given and given.format(folder=folder)
        )
        assert told.format(folder=folder) in refused(storage)


def test_a_port_that_wants_tls(folder: Path, aws_environment: pytest.MonkeyPatch) -> None:
    set_all(aws_environment, folder, KEYS, "")
    with serving(lambda _: Answer(400, {}, b"Client sent an HTTP request to an HTTPS server.")) as address:
        told = refused(StorageConfig(endpoint=address, attempts=1))
    assert f"{address} does not answer as an S3 store does (HTTP 400); if it speaks TLS, write https://" in told


@pytest.mark.parametrize(
    ("variable", "scheme"),
    [("HTTP_PROXY", "http"), ("http_proxy", "http"), ("HTTPS_PROXY", "https")],
)
def test_a_proxy_that_is_dead(folder: Path, aws_environment: pytest.MonkeyPatch, variable: str, scheme: str) -> None:
    proxy = free_port_url().replace("//", f"//me:{SECRET}@")
    set_all(aws_environment, folder, KEYS | {variable: proxy}, "")
    begun = time.monotonic()
    told = refused(StorageConfig(endpoint=f"{scheme}://store.example:9000"), UnreachableError)
    assert time.monotonic() - begun < 30
    assert f"the proxy {variable}=http://127.0.0.1:" in told
    assert f"cannot be reached; correct or unset {variable}, or name the store's host in NO_PROXY" in told


def test_a_proxy_that_is_not_on_the_way_is_not_blamed(folder: Path, aws_environment: pytest.MonkeyPatch) -> None:
    set_all(aws_environment, folder, KEYS | {"HTTP_PROXY": free_port_url(), "NO_PROXY": "127.0.0.1"}, "")
    dead = free_port_url()
    aws_environment.setenv("AWS_ENDPOINT_URL", dead)
    told = refused(StorageConfig(attempts=1), UnreachableError)
    assert f"{dead} cannot be reached; check AWS_ENDPOINT_URL and that the store runs" in told


def test_an_empty_variable_means_no_proxy(folder: Path, aws_environment: pytest.MonkeyPatch) -> None:
    set_all(aws_environment, folder, KEYS | {"HTTP_PROXY": free_port_url(), "http_proxy": ""}, "")
    told = refused(StorageConfig(endpoint=free_port_url(), attempts=1), UnreachableError)
    assert "cannot be reached; check storage.endpoint" in told


@pytest.mark.parametrize("proxy", ["nonsense:xx", "http://", "http://[::1"])
def test_a_proxy_without_an_address(folder: Path, aws_environment: pytest.MonkeyPatch, proxy: str) -> None:
    set_all(aws_environment, folder, KEYS | {"HTTP_PROXY": proxy}, "")
    told = refused(StorageConfig(endpoint="http://store.example:9000", attempts=1))
    assert f"HTTP_PROXY={proxy} is not the address of a proxy; correct or unset HTTP_PROXY" in told


@pytest.fixture
def silence() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("by_proxy", [False, True])
def test_silence_is_bounded_by_the_settings(
    folder: Path,
    aws_environment: pytest.MonkeyPatch,
    silence: str,
    by_proxy: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_all(aws_environment, folder, KEYS | ({"HTTP_PROXY": silence} if by_proxy else {}), "")
    begun = time.monotonic()
    endpoint = "http://store.example:9000" if by_proxy else silence
    told = refused(StorageConfig(endpoint=endpoint, attempts=2, read_timeout=0.5), UnreachableError)
    assert time.monotonic() - begun < 10
    assert f"{endpoint} did not answer in 0.5 s, 2 times" in told
    shown = capsys.readouterr().err.splitlines()
    assert shown == [f"{endpoint}: no answer in 0.5 s; attempt 2 of 2"]
    assert ("unset HTTP_PROXY" in told) == by_proxy


def test_a_store_that_is_slow_is_no_dead_one(folder: Path, aws_environment: pytest.MonkeyPatch) -> None:
    set_all(aws_environment, folder, KEYS, "")

    def slowly(_request: Request) -> Answer:
        time.sleep(1.5)  # longer than it may take to connect
        xml = (
            b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>events</Name></ListBucketResult>'
        )
        return Answer(200, {"Content-Type": "application/xml"}, xml)

    with serving(slowly) as address:
        assert S3Store(StorageConfig(endpoint=address, attempts=1, connect_timeout=0.5)).walk("s3a://events/x") == []


@pytest.mark.parametrize("code", ["AuthorizationHeaderMalformed", "PermanentRedirect"])
def test_a_store_of_another_region(folder: Path, aws_environment: pytest.MonkeyPatch, code: str) -> None:
    set_all(aws_environment, folder, KEYS | {"AWS_REGION": "eu-west-1"}, "")
    xml = f"<Error><Code>{code}</Code><Message>expecting us-west-2</Message></Error>".encode()
    with serving(lambda _: Answer(400, {"Content-Type": "application/xml"}, xml)) as address:
        told = refused(StorageConfig(endpoint=address, attempts=1))
    assert f"of another region than AWS_REGION=eu-west-1 ({code}: expecting us-west-2); set storage.region" in told


@pytest.mark.parametrize("variables", [KEYS, {"AWS_PROFILE": "p"}])
def test_keys_that_a_store_refuses_are_named(
    server: Server, folder: Path, aws_environment: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    set_all(aws_environment, folder, variables, f"{PROFILE}aws_access_key_id = a\naws_secret_access_key = {SECRET}\n")
    told = refused(server.storage)
    origin = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" if variables is KEYS else f"profile p of {folder}/config"
    assert f"refuses the credentials or the access (InvalidAccessKeyId); check {origin}, and what they allow" in told


def test_a_code_that_nobody_can_type(folder: Path, aws_environment: pytest.MonkeyPatch) -> None:
    set_all(aws_environment, folder, {"AWS_PROFILE": "p"}, f"{PROFILE}{ROLE}mfa_serial = m\n{SOURCE}")
    command = [sys.executable, "-m", "hepspark", "data", "ls", "s3a://b/"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.endswith("hepspark: an MFA code is needed, but there is no terminal; use another AWS_PROFILE\n")


COMMANDS = {
    "ingest": ["ingest", "--set", "ingest.input={qcd: [s3a://b/x]}", "--set", "ingest.output=s3a://b/data"],
    "train": ["train", "--set", "train.input=[s3a://b/data]", "--set", "train.output={folder}/run"],
    "evaluate": ["evaluate", "--set", "evaluate.model=s3a://b/model", "--set", "evaluate.output={folder}/report"],
    "predict": [
        *("predict", "--set", "predict.model=s3a://b/model"),
        *("--set", "predict.input=[s3a://b/data]", "--set", "predict.output={folder}/scores"),
    ],
    "model": ["model", "s3a://b/model"],
    "put": ["data", "put", "{folder}", "s3a://b/x"],
    "get": ["data", "get", "s3a://b/x", "{folder}/x"],
    "ls": ["data", "ls", "s3a://b/"],
    "url": ["data", "url", "s3a://b/x"],
    "simulate": ["simulate", "--set", "simulate.output=s3a://b/x", "--set", "simulate.events=10"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_tells_it_in_one_line_and_ends_with_2(
    folder: Path, aws_environment: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    set_all(aws_environment, folder, {"AWS_PROFILE": "p"}, f"{PROFILE}{SSO}sso_region = x\n")
    forget_clients()
    arguments = [argument.format(folder=folder) for argument in COMMANDS[command] if command != "ingest"]
    code = main(arguments or COMMANDS[command])
    output = capfd.readouterr()
    assert (code, output.out) == (2, "")
    assert re.fullmatch(r"hepspark: profile p of .*/config needs a sign-in \(SSO\).*aws sso login .*\n", output.err)

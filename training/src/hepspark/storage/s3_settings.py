"""Where the settings of S3 come from, and the message for those that cannot be used.

Credentials and much else come from variables and files that every AWS program reads, so that a message has to say which
of them is meant. Values that may hold a secret are never told.
"""

import configparser
import os
import ssl
from collections.abc import Sequence
from pathlib import Path

import botocore.configloader
import botocore.exceptions
import botocore.session
import botocore.utils

from hepspark.config import StorageConfig
from hepspark.errors import HepsparkError, InputError, UnreachableError
from hepspark.place import without_password

UNUSABLE = (
    botocore.exceptions.ConfigParseError,
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.EndpointProviderError,
    botocore.exceptions.InvalidConfigError,
    botocore.exceptions.LoginError,
    botocore.exceptions.MissingDependencyException,
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.ProfileNotFound,
    botocore.exceptions.RefreshWithMFAUnsupportedError,
    botocore.exceptions.SSOError,
    botocore.exceptions.TokenRetrievalError,
)
"""What botocore raises of settings that cannot be used, also when it reads them again later."""

AWS = "AWS"
"""The endpoint where none is set."""

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_SOURCE_VARIABLES = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_SOURCE_KEYS = (
    "credential_process",
    "web_identity_token_file",
    "role_arn",
    "sso_session",
    "sso_start_url",
    "login_session",
)
_PARSING = {
    configparser.MissingSectionHeaderError: "no [section] is before it",
    configparser.DuplicateSectionError: "its [section] is there twice",
    configparser.DuplicateOptionError: "its key is there twice",
}


def explain_settings(error: Exception, config: StorageConfig) -> HepsparkError:
    """The message for settings that cannot be used: the file, the key or variable, and the remedy.

    Args:
        error: One of `UNUSABLE`, or whatever else was raised while a client was made.
        config: The settings that are ours.
    """
    reason = " ".join(str(error).split()) or type(error).__name__
    match error:
        case botocore.exceptions.ConfigParseError():
            return InputError(_unparsed(error))
        case botocore.exceptions.ProfileNotFound():
            return InputError(_no_profile(error.kwargs["profile"]))
        case botocore.exceptions.NoCredentialsError():
            return InputError(
                f"no S3 credentials found; set {_KEYS[0]} and {_KEYS[1]}, or AWS_PROFILE to a profile of "
                f"{_named(credentials_file())} or {_named(config_file())}"
            )
        case botocore.exceptions.PartialCredentialsError() if error.kwargs["provider"] == "env":
            return InputError(f"{error.kwargs['cred_var']} is not set, but {_KEYS[0]} is; set both or none")
        case botocore.exceptions.PartialCredentialsError():
            lacking = error.kwargs["cred_var"]
            return InputError(f"{_profile_place()} lacks {lacking}; add it, or name another in AWS_PROFILE")
        case botocore.exceptions.SSOError() | botocore.exceptions.TokenRetrievalError():
            return InputError(
                f"{_profile_place()} needs a sign-in (SSO): {reason}; "
                f"run `aws sso login --profile {profile()}`, or set {_KEYS[0]} and {_KEYS[1]}"
            )
        case botocore.exceptions.InvalidRegionError():
            return InputError(f"{region_origin(config)} is not the name of a region; write one such as eu-central-1")
        case botocore.exceptions.EndpointProviderError():
            return _no_endpoint(config)
        case ValueError() if reason.startswith(("Invalid endpoint", "Invalid IPv6")):
            return _no_endpoint(config)
        case botocore.exceptions.ConnectionError() | botocore.exceptions.HTTPClientError():
            return UnreachableError(f"the S3 credentials cannot be fetched: {reason}; check {credentials_origin()}")
        case EOFError():
            return InputError(f"an MFA code is needed, but there is no terminal; use another {_profile_variable()}")
        case ValueError() | TypeError() | AttributeError():  # whose own words say too little
            reason = f"{type(error).__name__}: {reason}"
    # What gives credentials over a network may fail for a passing reason, once it has worked.
    kind = UnreachableError if isinstance(error, botocore.exceptions.CredentialRetrievalError) else InputError
    return kind(f"the AWS settings cannot be used: {reason}; correct {_blamed(error, reason)}")


def _no_profile(name: str) -> str:
    told = f"there is no profile {name!r} in {_named(config_file())} or {_named(credentials_file())}"
    # The two files write the name of a profile in two ways.
    for file, wrong, right in ((config_file(), name, f"profile {name}"), (credentials_file(), f"profile {name}", name)):
        if _is_there(file) and wrong in botocore.configloader.raw_config_parse(file):
            return f"{told}; in {file}, [{wrong}] must be [{right}]"
    return f"{told}; correct {_profile_variable()}"


def _no_endpoint(config: StorageConfig) -> InputError:
    return InputError(f"{endpoint_origin(config)} is not an address; expected http://host:port or https://host")


def _blamed(error: Exception, reason: str) -> str:
    """The settings whose values an error quotes or holds; else those that the credentials come from."""
    held = getattr(error, "kwargs", {}).values()

    def quoted(value: object) -> bool:
        text = str(value)
        return text in held or f"'{text}'" in reason or f'"{text}"' in reason

    own = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    variables = [name for name, value in own.items() if quoted(value) and not name.endswith(("PROFILE", "KEY"))]
    keys = [key for key, value in _scoped().items() if quoted(value) and "key" not in key]
    if keys:
        return f"{' and '.join(keys)} of {_profile_place()}"
    if variables:
        return " and ".join(variables)
    # Keys of variables are not fetched from anywhere, so that the fault lies with something else.
    return f"{_profile_place()}, or the AWS variables" if os.environ.get(_KEYS[0]) else credentials_origin()


def credentials_origin() -> str:
    """Where the credentials come from."""
    keys = [name for name in (*_KEYS, "AWS_SESSION_TOKEN") if os.environ.get(name)]
    if _KEYS[0] in keys:
        return " and ".join(keys)
    variables = [name for name in _SOURCE_VARIABLES if os.environ.get(name)]
    found = [key for key in _SOURCE_KEYS if key in _scoped()]
    if not found and variables:
        others = [name for name in os.environ if name.startswith("AWS_ROLE_")]
        return " and ".join([*variables, *sorted(others)])
    return f"{' and '.join(found)} of {_profile_place()}" if found else _profile_place()


def endpoint_of(config: StorageConfig) -> str:
    """The address of the store without a password, or `AWS`, where botocore chooses it."""
    of_variables = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return without_password(config.endpoint or of_variables or _scoped().get("endpoint_url") or AWS)


def endpoint_origin(config: StorageConfig) -> str:
    """Where the endpoint comes from, and its value without a password."""
    return _origin(config.endpoint, "storage.endpoint", ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"), "endpoint_url")


def region_origin(config: StorageConfig) -> str:
    """Where the region comes from, and its value."""
    return _origin(config.region, "storage.region", ("AWS_REGION", "AWS_DEFAULT_REGION"), "region")


def bad_ca_bundle(config: StorageConfig) -> str | None:
    """Which file of CA certificates cannot be used, and why; None where nothing is wrong with it."""
    path = config.ca_bundle or os.environ.get("AWS_CA_BUNDLE") or _scoped().get("ca_bundle")
    path = path or os.environ.get("REQUESTS_CA_BUNDLE")
    if not path:
        return None
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:
        names = ("AWS_CA_BUNDLE",) if "ca_bundle" in _scoped() else ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
        why = f"holds no certificate in PEM ({error.reason})" if isinstance(error, ssl.SSLError) else error.strerror
        return f"{_origin(config.ca_bundle, 'storage.ca_bundle', names, 'ca_bundle')}: {why}"
    return None


def proxy_origin(endpoint: str) -> str | None:
    """Which variable names the proxy that leads to an address, and its value without a password; None without one."""
    scheme = "http" if endpoint.startswith("http:") else "https"
    names = [f"{scheme}_proxy", f"{scheme}_proxy".upper()]
    found = next((name for name in names if name in os.environ), None)  # an empty one in lower case: no proxy
    if not found or not os.environ[found] or (endpoint != AWS and botocore.utils.should_bypass_proxies(endpoint)):
        return None
    return f"{found}={without_password(os.environ[found])}"


def config_file() -> str:
    """The file of profiles."""
    return os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config"


def credentials_file() -> str:
    """The file of keys."""
    return os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"


def profile() -> str:
    """The profile that is used."""
    return os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"


def _profile_variable() -> str:
    return "AWS_DEFAULT_PROFILE" if "AWS_PROFILE" not in os.environ else "AWS_PROFILE"


def _profile_place() -> str:
    files = [file for file in (config_file(), credentials_file()) if _is_there(file)]
    return f"profile {profile()} of {' and '.join(files) or _named(config_file())}"


def _is_there(file: str) -> bool:
    return Path(file).expanduser().is_file()


def _named(file: str) -> str:
    return file if _is_there(file) else f"{file} (no such file)"


def _scoped() -> dict[str, str]:
    """The keys of the profile; none where there is no profile."""
    try:
        return dict(botocore.session.Session().get_scoped_config())
    except botocore.exceptions.BotoCoreError:
        return {}


def _origin(given: str | None, key: str, variables: Sequence[str], of_profile: str) -> str:
    if given:
        return f"{key}={without_password(given)}"
    for name in variables:
        if os.environ.get(name):
            return f"{name}={without_password(os.environ[name])}"
    value = _scoped().get(of_profile)
    return f"{of_profile}={without_password(value)} of {_profile_place()}" if value else f"{key}, which is not set,"


def _unparsed(error: botocore.exceptions.ConfigParseError) -> str:
    """Which line is wrong, without what it holds, which may be a key."""
    path, cause = error.kwargs["path"], error.kwargs.get("error")
    credentials = Path(credentials_file()).expanduser() == Path(path)
    variable = "AWS_SHARED_CREDENTIALS_FILE" if credentials else "AWS_CONFIG_FILE"
    if isinstance(cause, configparser.Error):
        errors = getattr(cause, "errors", None)
        line = getattr(cause, "lineno", None) or (errors[0][0] if errors else "?")
        why = f"line {line} is wrong: {_PARSING.get(type(cause), 'expected key = value')}"
    else:
        why = f"it is not UTF-8 text ({type(cause).__name__})" if cause else "it is no file of profiles"
    return f"{path} cannot be read: {why}; correct it, or name another file in {variable}"

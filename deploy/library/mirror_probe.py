"""Ansible module: whether a mirror answers and holds what an installation needs."""

import http.client
import json
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: mirror_probe
short_description: Ask a mirror for files and images
options:
  files: {type: list, elements: str, default: [], description: Addresses that must answer}
  images: {type: list, elements: str, default: [], description: Images as registry/repository:tag}
  ca: {type: str, default: "", description: Certificates (PEM) to trust beside the system's}
  plain_http: {type: bool, default: false, description: The registry is asked without TLS}
"""
EXAMPLES = """
- mirror_probe:
    files: ["{{ url }}/release/v1.34.4/bin/linux/amd64/kubeadm"]
"""
RETURN = """
missing: {type: list, elements: str, description: One sentence for each thing that is not there, returned: always}
"""

MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


def ask(url: str, context: ssl.SSLContext, method: str = "HEAD", token: str = "") -> bytes:
    """The body of the answer.

    Raises:
        OSError: If there is none, or an error status.
    """
    headers = {"Accept": MANIFESTS} if "/v2/" in url else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        return bytes(answer.read())


def anonymous_token(challenge: str, context: ssl.SSLContext) -> str:
    """The token that a public registry hands to everybody, from the challenge of its 401 answer."""
    fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    query = urllib.parse.urlencode({key: fields[key] for key in ("service", "scope") if key in fields})
    answer = json.loads(ask(f"{fields['realm']}?{query}", context, method="GET"))
    return str(answer.get("token") or answer["access_token"])


def problem(url: str, context: ssl.SSLContext) -> str:
    """What is wrong with an address, in a few words; nothing if it answers."""
    try:
        try:
            ask(url, context)
        except urllib.error.HTTPError as error:
            challenge = error.headers.get("WWW-Authenticate", "")
            if error.code != 401 or "Bearer" not in challenge:
                raise
            ask(url, context, token=anonymous_token(challenge, context))
    except urllib.error.HTTPError as error:
        return f"{url} answers {error.code} {error.reason}"
    except OSError as error:
        return f"{url} cannot be reached: {getattr(error, 'reason', error)}"
    except (http.client.HTTPException, ValueError, KeyError) as error:
        return f"{url} does not answer as a mirror does: {error!r}"
    return ""


def manifest(image: str, scheme: str) -> str:
    """The address of an image's manifest."""
    registry, _, rest = image.partition("/")
    repository, _, tag = rest.rpartition(":")
    return f"{scheme}://{registry}/v2/{repository}/manifests/{tag}"


def main() -> None:
    """Answer to Ansible."""
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "list", "elements": "str", "default": []},
            "images": {"type": "list", "elements": "str", "default": []},
            "ca": {"type": "str", "default": ""},
            "plain_http": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    context = ssl.create_default_context()
    if module.params["ca"]:
        try:
            context.load_verify_locations(cadata=module.params["ca"])
        except ValueError as error:  # ssl.SSLError is one
            text = f"mirror_ca_certificate is no certificate in PEM: {error}"
            module.exit_json(changed=False, missing=[text])
    scheme = "http" if module.params["plain_http"] else "https"
    urls = [*module.params["files"], *(manifest(image, scheme) for image in module.params["images"])]
    with ThreadPoolExecutor(8) as pool:
        missing = [text for text in pool.map(lambda url: problem(url, context), urls) if text]
    module.exit_json(changed=False, missing=missing)


if __name__ == "__main__":
    main()

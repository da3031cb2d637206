"""Asks JupyterHub for its version and its sign-in page through the proxy, for `helm test`.

    python ask_hub.py URL

Ends with 0 when both are answered, 1 otherwise.
"""

import json
import ssl
import sys
import urllib.request


def ask(url: str) -> bytes:
    """What is answered at a URL."""
    # The certificate is for the name that browsers use, and this asks by that of the service.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(url, timeout=20, context=context) as answer:  # noqa: S310 (the chart gives the address)
        return bytes(answer.read())


def main(arguments: list[str]) -> int:
    """Run the program; its exit code."""
    (url,) = arguments
    try:
        version = json.loads(ask(f"{url}/hub/api/"))["version"]
        page = ask(f"{url}/hub/login")
    except (OSError, ValueError, TypeError, KeyError) as error:
        print(f"{url} does not answer as JupyterHub does: {error!r}; see the logs of hub and proxy", file=sys.stderr)
        return 1
    print(f"JupyterHub {version} shows a sign-in page of {len(page):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Uses the server, for `helm test`: an object is put, read and deleted, and every declared user is let in.

    python roundtrip.py SPEC CREDENTIALS

The arguments and exit codes are those of provision.py. The administrator puts the object, into a bucket made for it: no
declared user need have the right to write.
"""

import secrets
import sys
from pathlib import Path
from typing import Any

from provision import ServerError, ValuesError, credentials, is_known, run, s3_client


def roundtrip(spec: dict[str, Any], folder: Path) -> None:
    """Use the server.

    Raises:
        ValuesError: the server does not know a user whom the values declare.
        ServerError: what was read is not what was put.
    """
    s3 = s3_client(spec, credentials(folder / "root", "auth.existingSecret"))
    bucket, content = f"helm-test-{secrets.token_hex(8)}", secrets.token_bytes(1 << 20)
    s3.create_bucket(Bucket=bucket)
    try:
        s3.put_object(Bucket=bucket, Key="object", Body=content)
        found = s3.get_object(Bucket=bucket, Key="object")["Body"].read()
        s3.delete_object(Bucket=bucket, Key="object")
    finally:
        s3.delete_bucket(Bucket=bucket)
    if found != content:
        raise ServerError("the object that was read differs from the object that was put")
    print("an object was put, read and deleted")
    for user in spec["users"]:
        key = f"users[{user['name']}].existingSecret"
        if not is_known(spec, credentials(folder / "users" / user["name"], key)):
            raise ValuesError(f"{key}: the server does not know these credentials; run `helm upgrade`")
        print(f"user {user['name']} can sign in")


if __name__ == "__main__":
    sys.exit(run(roundtrip, sys.argv[1:]))

"""What a server may do in the store: the policy of its temporary credentials."""

import json

from hepspark_hub.settings import Workspace

LONGEST_POLICY = 2048
"""Characters that stores take of a session's policy."""


def prefix_of(user: str) -> str:
    """The folder of a user in the bucket of workspaces, with a slash at its end.

    Names are hexadecimal where they have characters that policies read as patterns or folders, so that no name can
    stand for another's.
    """
    plain = (
        user.isascii() and all(letter.isalnum() or letter in "-_.@" for letter in user) and not user.startswith("x-")
    )
    return f"{user}/" if plain and user.strip(".") else f"x-{user.encode().hex()}/"


def key_of(user: str) -> str:
    """The entry of a user in a Secret, whose keys may not have all characters that names may have."""
    name = prefix_of(user).rstrip("/")
    return f"x-{user.encode().hex()}" if "@" in name else name


def session_policy(workspace: Workspace, user: str) -> str:
    """The rights of a user's server, as the store takes them: its own folder, and the public buckets to be read.

    Raises:
        ValueError: it is longer than stores take.
    """
    own, arn = prefix_of(user), "arn:aws:s3:::"
    statements = [
        {
            "Effect": "Allow",
            "Action": [
                "s3:GetObject",
                "s3:PutObject",
                "s3:DeleteObject",
                "s3:AbortMultipartUpload",
                "s3:ListMultipartUploadParts",
            ],
            "Resource": [f"{arn}{workspace.bucket}/{own}*"],
        },
        # Programs look at the name of a folder before its content: where that is refused, Spark gives up.
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [f"{arn}{workspace.bucket}/{own.rstrip('/')}"]},
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": [f"{arn}{workspace.bucket}"],
            "Condition": {"StringLike": {"s3:prefix": [f"{own}*"]}},
        },
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:ListBucket", "s3:GetBucketLocation"],
            "Resource": [f"{arn}{bucket}{part}" for bucket in workspace.public for part in ("", "/*")],
        },
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements[: 4 if workspace.public else 3]})
    if len(policy) > LONGEST_POLICY:
        raise ValueError(
            f"the policy of {user} has {len(policy)} characters, more than {LONGEST_POLICY}: name fewer public buckets"
        )
    return policy

"""What a user's server may do in the store."""

import json

import pytest
from hepspark_hub.settings import Workspace
from hepspark_hub.workspace import LONGEST_POLICY, prefix_of, session_policy

WORKSPACE = Workspace(bucket="workspaces", public=("data", "public"))


def test_a_user_has_a_folder_and_the_public_buckets():
    content, name, listing, public = json.loads(session_policy(WORKSPACE, "ada"))["Statement"]
    assert content["Resource"] == ["arn:aws:s3:::workspaces/ada/*"]
    assert (name["Action"], name["Resource"]) == (["s3:GetObject"], ["arn:aws:s3:::workspaces/ada"])
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["ada/*"]}}
    assert not {action for action in public["Action"] if "Put" in action or "Delete" in action}
    assert public["Resource"] == [f"arn:aws:s3:::{b}{p}" for b in ("data", "public") for p in ("", "/*")]


@pytest.mark.parametrize("name", ["*", "a?", "a/b", "..", ".", "ä", "x-61", "${aws:username}", " "])
def test_no_name_stands_for_anothers_folder(name):
    assert prefix_of(name) == f"x-{name.encode().hex()}/"


@pytest.mark.parametrize("name", ["ada", "ada.lovelace@example.org", "a-b_c", "X"])
def test_plain_names_stay(name):
    assert prefix_of(name) == f"{name}/"


def test_a_policy_that_stores_would_refuse_is_told():
    with pytest.raises(ValueError, match="name fewer public buckets"):
        session_policy(Workspace(bucket="w", public=tuple(f"bucket-{n}" for n in range(60))), "ada")
    assert len(session_policy(WORKSPACE, "a" * 60)) < LONGEST_POLICY

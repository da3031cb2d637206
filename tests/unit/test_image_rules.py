"""What is left out of an image: rules that say why, and that find something."""

import zipfile

import pytest

from deploy.errors import DeployError, InputError
from deploy.images import prune
from deploy.images.prune import FileRule, JarRule, Rules
from deploy.mirror.versions import REPOSITORY, load_versions


@pytest.fixture
def tree(tmp_path):
    for path in ("a/tests/x.py", "a/b/tests/deep/y.py", "a/keep/tests/z.py", "a/code.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    with zipfile.ZipFile(tmp_path / "lib-1.jar", "w") as jar:
        for name in ("org/used/A.class", "org/unused/B.class", "org/unused/deep/C.class", "native.so"):
            jar.writestr(name, name)
    return tmp_path


def left(tree):
    return {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}


def test_folders_go_with_all_that_is_in_them_and_what_is_kept_stays(tree):
    prune.prune(tree, Rules(files=(FileRule(why="tests", remove=("**/tests",), keep=("a/keep",)),)))
    assert left(tree) == {"a/keep/tests/z.py", "a/code.py", "lib-1.jar"}


def test_what_holds_something_kept_stays_too(tree):
    prune.prune(tree, Rules(files=(FileRule(why="all", remove=("a/*",), keep=("a/b/tests/deep",)),)))
    assert left(tree) == {"a/b/tests/deep/y.py", "lib-1.jar"}


def test_members_of_jars_go(tree):
    prune.prune(tree, Rules(jars=(JarRule(why="natives", jar="lib-*.jar", remove=("org/unused/*", "*.so")),)))
    with zipfile.ZipFile(tree / "lib-1.jar") as jar:
        assert jar.namelist() == ["org/used/A.class"]
        assert jar.read("org/used/A.class") == b"org/used/A.class"
    assert left(tree) >= {"lib-1.jar", "a/code.py"}


@pytest.mark.parametrize(
    "rules",
    [
        Rules(files=(FileRule(why="gone", remove=("a/nothing",)),)),
        Rules(files=(FileRule(why="gone", remove=("a",), keep=("a/nothing",)),)),
        Rules(jars=(JarRule(why="gone", jar="other-*.jar", remove=("*",)),)),
    ],
    ids=["file", "kept file", "jar"],
)
def test_a_pattern_that_finds_nothing_is_an_error(tree, rules):
    with pytest.raises(DeployError, match=r"(nothing|other-\*\.jar) is not there: mend the rule"):
        prune.prune(tree, rules)
    assert "a/code.py" in left(tree)


def test_a_member_pattern_that_finds_nothing_names_its_rule(tree):
    rules = Rules(jars=(JarRule(why="old natives", jar="lib-*.jar", remove=("*.dll",)),))
    with pytest.raises(DeployError, match=r"lib-1\.jar has no \*\.dll: mend the rule 'old natives'"):
        prune.prune(tree, rules)


def test_a_rule_says_why(tmp_path):
    (tmp_path / "rules.yaml").write_text("files: [{remove: [a]}]")
    with pytest.raises(InputError, match=r"rules\.yaml: [\s\S]*why"):
        prune.load(tmp_path / "rules.yaml")


def test_the_committed_rules_can_be_read():
    rules = prune.load(REPOSITORY / "deploy/images/spark/prune.yaml")
    assert rules.files
    assert rules.jars


def test_kernels_and_terminals_have_what_physicists_expect():
    components = load_versions().components
    files = components["notebook"].build.images["notebook"].files
    for name in ("python", "pip", "hepspark"):
        program = (REPOSITORY / files[f"usr/local/bin/{name}"]).read_text()
        assert program.startswith("#!/bin/sh\n")
        assert program.splitlines()[-1].startswith("exec /usr/bin/python3.11")
    assert "git" in components["notebook-base"].build.images["notebook-base"].debian.packages
    locked = {line.partition("==")[0] for line in (REPOSITORY / "requirements/notebook.txt").read_text().splitlines()}
    assert {"scikit-learn", "scipy", "tqdm", "xgboost-cpu", "pip"} <= locked
    assert not {name for name in locked if name.startswith("nvidia")}  # of CUDA

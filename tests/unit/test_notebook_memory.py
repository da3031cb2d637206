"""What a notebook tells of memory that was full."""

import pytest

from hepspark.notebook.memory import Memory, killed, limit


@pytest.fixture(params=["version 1", "version 2"])
def cgroups(request, tmp_path):
    """Sets how many processes Linux ended, as it writes that down itself; the limit is 4 GiB."""
    root = tmp_path / "cgroups"
    (root / "memory").mkdir(parents=True)

    def count(number):
        if request.param == "version 1":
            (root / "memory" / "memory.oom_control").write_text(f"oom_kill_disable 0\nunder_oom 0\noom_kill {number}\n")
            (root / "memory" / "memory.limit_in_bytes").write_text(f"{4 << 30}\n")
        else:
            events = f"low 0\nhigh 0\nmax 12\noom {number}\noom_kill {number}\noom_group_kill 0\n"
            (root / "memory.events").write_text(events)
            (root / "memory.max").write_text(f"{4 << 30}\n")
        return root

    return count


@pytest.fixture
def told(capsys):
    return lambda: capsys.readouterr().err.strip()


def test_a_process_that_was_ended_in_a_cell_is_told_once(cgroups, told, tmp_path):
    memory = Memory("kernel-a", cgroups(2), tmp_path)
    memory.before_cell()
    memory.after_cell(object())
    assert told() == ""
    cgroups(3)
    memory.after_cell(object())
    assert told().startswith(
        "This server's memory (4.0 GiB) was full. Linux ended a process of this server while the cell ran."
    )
    memory.before_cell()
    assert told() == ""


def test_the_next_kernel_of_the_same_notebook_tells_why_the_one_before_ended(cgroups, told, tmp_path):
    root = cgroups(0)
    Memory("kernel-a", root, tmp_path)
    cgroups(1)
    Memory("kernel-b", root, tmp_path).before_cell()
    assert told() == ""  # which began afterwards
    again = Memory("kernel-a", root, tmp_path)
    again.before_cell()
    assert "perhaps the previous kernel of this notebook" in told()
    Memory("kernel-a", root, tmp_path).before_cell()
    assert told() == ""


def test_a_container_that_was_started_again_counts_from_0(cgroups, told, tmp_path):
    Memory("kernel-a", cgroups(5), tmp_path)
    memory = Memory("kernel-a", cgroups(0), tmp_path)
    memory.before_cell()
    cgroups(1)
    memory.before_cell()
    assert "was full" in told()


def test_nothing_is_told_where_nobody_counts(told, tmp_path):
    memory = Memory("kernel-a", tmp_path / "none", tmp_path / "none")
    memory.before_cell()
    assert (killed(tmp_path), limit(tmp_path), told()) == (0, "", "")


def test_a_limit_that_is_none_is_not_told(tmp_path):
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert limit(tmp_path) == ""

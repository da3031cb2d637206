"""A physicist's day: signs in, trains on executors of the cluster, takes more of them, and goes home.

The tests are one story, told in order: each begins with what the one before left.
"""

import ast
import re

import nbformat.v4
import pytest

from tests.e2e.browser import Physicist
from tests.e2e.facility import REPOSITORY, ROOMY
from tests.e2e.hub import Hub
from tests.lab_user import VIEWPORT, chromium, pictures_of, text_of
from tests.waiting import until

pytestmark = pytest.mark.timeout(900)

FACILITY = {"lab": ROOMY, "platform": True}
GOES_ON = True
"""On the lab of the platform's tests, where these are run after them."""
USER = "admin"
HLF = "HLF classifier.ipynb"
BY_HAND = """
from pyspark.sql import SparkSession
spark = (SparkSession.builder
    .config("spark.executor.instances", 1)
    .config("spark.executor.cores", 1)
    .config("spark.cores.max", 1)
    .getOrCreate())
print("sum", spark.range(1000).selectExpr("sum(id)").collect()[0][0])
print("executors", spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1)
"""


@pytest.fixture(scope="module")
def hub(ready):
    return Hub(ready)


@pytest.fixture(scope="module")
def physicist(hub):
    with chromium() as browser:
        page = browser.new_page(viewport=VIEWPORT)
        yield Physicist(USER, page, hub.address, REPOSITORY / "out" / "pictures")


def test_the_first_password_signs_in(hub, physicist):
    physicist.sign_in(hub.secret("firstPassword"))


def test_a_flavor_that_no_node_can_hold_says_so(physicist):
    physicist.page.goto(f"{physicist.hub}/hub/spawn")
    told = physicist.page.get_by_text("It cannot be started on this cluster").inner_text()
    assert "its server needs 8 cores and 32 GiB, and the largest node has " in told
    assert physicist.page.get_by_role("radio", disabled=True).count() == 1
    assert physicist.page.get_by_role("radio", checked=True).is_enabled()
    physicist.picture("flavors")
    assert "The hub stops a server" in physicist.page.locator("#idle").inner_text()


def test_jupyterlab_starts(physicist):
    physicist.start("Small")
    physicist.picture("jupyterlab")


def test_the_hlf_notebook_runs_to_its_end(physicist):
    cells = physicist.run(HLF)
    said = text_of(cells)
    assert "1 executor" in said
    assert "2 executors" in said
    auc = ast.literal_eval(re.search(r"AUC: (\{.*\})", said)[1])
    assert set(auc) == {"qcd", "ttbar", "wjets"}
    assert min(auc.values()) > 0.9
    assert all(picture.startswith(b"\x89PNG") for picture in pictures_of(cells))
    assert len(pictures_of(cells)) >= 4
    physicist.show("5. Evaluate")
    physicist.picture("roc")


def test_settings_by_hand_work_too(physicist, tmp_path):
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(BY_HAND)], metadata=kernel)
    (tmp_path / "by-hand.ipynb").write_text(nbformat.writes(notebook))
    physicist.upload(tmp_path / "by-hand.ipynb")
    said = text_of(physicist.run("by-hand.ipynb"))
    assert "sum 499500" in said
    assert "executors 1" in said


def test_server_and_executors_keep_to_the_nodes_for_servers(hub):
    for role in ("driver", "executor"):  # of the notebook above, which has left its Spark open
        pods = hub.pods(USER, f"spark-role={role}")
        assert pods
        assert [pod["spec"]["nodeSelector"] for pod in pods] == [{"kubernetes.io/os": "linux"}] * len(pods)


def test_spark_tells_what_it_does_and_did(physicist):
    page, pages = physicist.page, f"{physicist.hub}/user/{USER}"
    page.goto(f"{pages}/sparkui/jobs/")  # of the notebook above, which has left its Spark open
    page.get_by_text("Completed Jobs:").wait_for()
    page.get_by_role("link", name="Executors").click()
    page.locator("#active-executors-table tr", has_text="driver").wait_for()
    page.goto(f"{pages}/sparkhistory/")  # of the notebook before, whose Spark has ended
    finished = page.locator("#history-summary-table a")

    def is_listed():
        page.reload(wait_until="networkidle")  # the list is that of the moment, and the logs are only being read
        return finished.count()

    until(is_listed, "the notebook before is listed")
    finished.first.click()
    page.get_by_text("Completed Jobs:").wait_for()
    physicist.picture("history")


def test_nothing_is_left_when_the_server_is_stopped(hub, physicist):
    (server,) = hub.pods(USER, "component=singleuser-server")
    environment = {each["name"]: each.get("value") for each in server["spec"]["containers"][0]["env"]}
    keys = f"{environment['JUPYTERHUB_API_URL']}/hepspark/credentials"
    headers = {"Authorization": f"token {environment['JUPYTERHUB_API_TOKEN']}"}
    outside = f"{physicist.hub}/hub/api{keys.partition('/hub/api')[2]}"
    assert physicist.page.request.get(outside, headers=headers).ok
    physicist.stop()
    until(lambda: not hub.pods(USER), "its pods are gone")
    # The hub hears of it a moment later.
    until(lambda: physicist.page.request.get(outside, headers=headers).status == 403, "its token is worth nothing")

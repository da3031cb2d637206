"""`%pip` in a kernel, with a real pip and a home folder of its own."""

import os
import re
import ssl
import subprocess
import sys
import sysconfig
import threading
import time
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from tests.integration.middleman import free_port_url

CELLS = """
import os, site, sys
from pathlib import Path
from IPython.core.interactiveshell import InteractiveShell
from hepspark.notebook import packages

os.environ |= packages.environment(Path("notes"))
site.addsitedir(site.getusersitepackages())  # which a kernel does when it begins, and the server has made it before
shell = InteractiveShell.instance()
packages.Pip(shell)
for line in sys.argv[1:]:
    shell.run_cell(line)
"""


def wheel(folder, name, version="1.0", needs=""):
    """A package of one module, as its author would publish it."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as content:
        content.writestr(f"{name}.py", "VALUE = 'found'\n")
        requires = f"Requires-Dist: {needs}\n" if needs else ""
        content.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
        content.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        content.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


# Executors have no home folder, and so nothing of the user but what the driver gives them.
ON_EXECUTORS = """
import os
from pathlib import Path
from hepspark import notebook as hep
from hepspark.notebook import packages

def found(_):
    import hepspark_tiny
    return hepspark_tiny.VALUE, hepspark_tiny.__file__

conf = {"spark.cores.max": 2, "spark.executor.cores": 1, "spark.executor.memory": "512m"}
conf |= {"spark.executorEnv.PYTHONPATH": os.environ["PYTHONPATH"], "spark.executorEnv.PYTHONNOUSERSITE": "1"}
context = hep.session(conf={"spark.master": os.environ["MASTER_OF_TEST"], **conf}).sparkContext
packages.share(context, packages.folder(), Path.cwd)
print(set(context.parallelize(range(4), 4).map(found).collect()))
hep.stop()
"""


@pytest.fixture
def cells(tmp_path):
    """Runs cells in a Python that has a folder for a user's packages; that of a virtual environment has none."""
    index = tmp_path / "index"
    index.mkdir()
    wheel(index, "hepspark_tiny")
    wheel(index, "hepspark_greedy", needs="numpy<1")
    wheel(index, "numpy", version="0.9")
    # Of this machine's own index, if it has one, a server knows nothing.
    own = {name for name in os.environ if name.startswith("PIP_") or name.endswith("CA_BUNDLE")}
    environment = {name: value for name, value in os.environ.items() if name not in own} | {
        "PIP_CONFIG_FILE": os.devnull,
        "HOME": str(tmp_path),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "PYTHONPATH": os.pathsep.join(
            [sysconfig.get_path("purelib"), *(path for path in sys.path if path.endswith("src"))]
        ),
        "PIP_USER": "1",  # for who runs the tests as root, to whom Python's own folder is open
    }

    def run(*lines, **variables):
        program = [sys._base_executable, "-c", CELLS, *lines]
        variables = environment | (variables or {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)})
        ended = subprocess.run(program, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=240)
        return ended.stdout + ended.stderr

    return run


@pytest.fixture
def index(tmp_path):
    """A site's index of packages, over HTTPS, by an authority of its own: its URL, and the authority's certificate."""
    pages = tmp_path / "pages"
    (pages / "simple/hepspark-tiny").mkdir(parents=True)
    wheel(pages / "simple/hepspark-tiny", "hepspark_tiny")
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
    names = ["-days", "1", "-subj", "/CN=index", "-addext", "subjectAltName=IP:127.0.0.1"]
    key, certificate = tmp_path / "index.key", tmp_path / "index.crt"
    subprocess.run([*request, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=pages))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}/simple/", certificate
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_package_comes_from_the_sites_index_to_executors(cells, index, spark_master):
    url, authority = index
    install, shown = "%pip install hepspark_tiny", "import hepspark_tiny; print(hepspark_tiny.VALUE)"
    told = cells(install, PIP_INDEX_URL=url)
    assert "CERTIFICATE_VERIFY_FAILED" in told
    assert f"pip failed; the last lines say why. The site's package index is {url}" in told
    told = cells("%pip install hepspark_nowhere", PIP_INDEX_URL=url, HEPSPARK_CA_FILE=str(authority))
    assert "No matching distribution found for hepspark_nowhere" in told
    told = cells(install, shown, PIP_INDEX_URL=url, HEPSPARK_CA_FILE=str(authority))
    assert told.endswith("found\n"), told
    assert "pip failed" not in told
    told = cells(ON_EXECUTORS, MASTER_OF_TEST=spark_master)
    found = re.findall(r"\('found', '.*?/work/app-[^']*/hepspark-packages-[0-9a-f]+/hepspark_tiny\.py'\)", told)
    assert found, told


def test_an_index_that_is_not_there_is_told_in_seconds(cells):
    url = f"{free_port_url()}/simple/"
    begun = time.monotonic()
    told = cells("%pip install hepspark_tiny", PIP_INDEX_URL=url.replace("//", "//me:secret@"))
    assert "Connection refused" in told
    assert "secret" not in told
    assert f"pip failed; the last lines say why. The site's package index is {url}" in told
    assert time.monotonic() - begun < 60


def test_a_package_is_there_at_once_and_in_the_next_kernel(cells, tmp_path):
    shown = "import hepspark_tiny; print(hepspark_tiny.VALUE, hepspark_tiny.__file__)"
    for lines in (["%pip install hepspark_tiny", shown], [shown]):
        told = cells(*lines)
        assert f"found {tmp_path}/.local/lib/python3.11/site-packages/hepspark_tiny.py" in told, told
        assert "pip failed" not in told


def test_what_the_image_brings_keeps_its_version(cells, tmp_path):
    told = cells("%pip install hepspark_greedy", "import numpy; print(numpy.__version__)")
    assert "pip failed; the last lines say why. The operator has named no package index" in told
    assert np.__version__ in told
    assert f"numpy=={np.__version__}" in (tmp_path / "notes" / "constraints.txt").read_text().splitlines()
    assert not [*tmp_path.glob(".local/lib/python3.11/site-packages/*")]

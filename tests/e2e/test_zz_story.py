"""the e2e story on the dev lab"""
import pytest
from tests.e2e.test_notebooks import *
import tests.e2e.facility as f
from tests.e2e.facility import Facility
from pathlib import Path
from deploy.lab.model import places
@pytest.fixture(scope="module")
def facility(tmp_path_factory):
    class Dev(Facility):
        @property
        def kubeconfig(self): return places("lab").state / "kubeconfig"
    return Dev(Path("/work/main/out"), platform=True)

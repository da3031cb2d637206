"""The process that starts Python's workers."""

import gc
import sys
import sysconfig

from hepspark.workers import sparing, without_archives

INSTALLED = sysconfig.get_path("purelib")
ARCHIVES = ["/spark/python/lib/pyspark.zip", "/spark/python/lib/py4j-0.10.9.7-src.zip", "/spark-core_2.12-3.5.8.jar"]


def test_sparks_archives_are_not_searched_where_pyspark_is_installed():
    others = ["/work", "/work/own.zip", INSTALLED]
    assert without_archives(["/work", *ARCHIVES, "/work/own.zip", INSTALLED]) == others


def test_sparks_archives_stay_where_pyspark_is_nowhere_else(tmp_path):
    path = [str(tmp_path), *ARCHIVES]
    assert without_archives(path) == path


def test_what_modules_hold_is_searched_for_garbage_when_there_are_more_of_them(monkeypatch):
    seen = []
    monkeypatch.setattr(gc, "freeze", lambda: seen.append(len(seen)))
    work = sparing(lambda code: code)
    assert [work(0), work(3)] == [0, 3]
    assert seen == [0]
    monkeypatch.setitem(sys.modules, "hepspark_one_more", sys)
    work(0)
    assert seen == [0, 1]

"""Tells whether an S3 store can be the platform's, seen from where runs see it: what is wrong, a line for each bucket.

    python check.py STORAGE BUCKET...

STORAGE is hepspark's section `storage` as JSON; credentials come from the environment. Exits 2 if something is wrong.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from hepspark.config import StorageConfig
from hepspark.errors import HepsparkError
from hepspark.storage import check_conditional_writes


def problem(storage: StorageConfig, bucket: str) -> str | None:
    """What keeps runs from committing to a bucket; nothing stays in it."""
    try:
        check_conditional_writes(f"s3a://{bucket}", storage)
    except HepsparkError as error:
        return str(error)
    return None


def main(storage: str, *buckets: str) -> int:
    """Check all buckets at once, since each may wait long for a store that does not answer."""
    with ThreadPoolExecutor(len(buckets)) as pool:
        problems = pool.map(partial(problem, StorageConfig.model_validate_json(storage)), buckets)
    found = [each for each in problems if each]
    sys.stderr.write("".join(f"{each}\n" for each in found))
    return 2 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

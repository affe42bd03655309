"""What a process loads when it imports the parts that others import."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("package", ["worker.delivery", "worker.api", "worker.process", "worker.integrations"])
def test_a_producer_that_imports_the_publisher_loads_no_other_part_of_the_worker(package: str) -> None:
    code = f"import sys, worker.publisher; print([name for name in sys.modules if name.startswith({package!r})])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"

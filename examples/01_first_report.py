"""Train a bundled plan, examine it, and write the report: the shortest way."""

import tempfile
from pathlib import Path

import equipoise

with tempfile.TemporaryDirectory() as folder:
    outcome = equipoise.run("wine", out=Path(folder) / "wine")
    for finding in outcome.report.worst_first():
        print(f"{finding.verdict:<8} {finding.question:<22} {finding.claim}")
    print("written:", ", ".join(sorted(path.name for path in outcome.folder.iterdir())))

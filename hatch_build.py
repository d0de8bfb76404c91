"""Builds the kernel of the vital signs where there is a C compiler; without one the package does its work in torch."""

import os
import platform
import shlex
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = Path("src/equipoise/vitals/native")
# No fast-math: values that are not finite must be seen.
FLAGS = ("-O3", "-fPIC", "-std=c11", "-fvisibility=hidden")
# Every instruction set is a variant of its own, chosen when the kernel is loaded, so that a wheel runs anywhere.
BASELINE = ("-DBYTES=16", "-DVARIANT=statistics_baseline")
AVX2 = ("-mavx2", "-mfma", "-ffp-contract=fast", "-DBYTES=32", "-DVARIANT=statistics_avx2")


class KernelBuildHook(BuildHookInterface):
    """Compiles `native/*.c` to the extension module `equipoise.vitals._kernel`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the kernel, or say why there is none and go on."""
        del version
        target = Path(self.root, SOURCES).parent / f"_kernel{sysconfig.get_config_var('EXT_SUFFIX') or '.so'}"
        try:
            _build(Path(self.root, SOURCES), target)
        except (OSError, subprocess.CalledProcessError) as problem:
            said = getattr(problem, "stderr", None) or str(problem)
            self.app.display_warning(f"The vital-signs kernel was not built; torch is used instead. {said[-2000:]}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"].append(f"/{target.relative_to(self.root).as_posix()}")


def _build(sources: Path, target: Path) -> None:
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    intel = platform.machine().lower() in ("x86_64", "amd64")
    include = f"-I{sysconfig.get_paths()['include']}"
    with tempfile.TemporaryDirectory() as folder:
        made: list[str] = []

        def compiled(name: str, *options: str, to: str = "") -> None:
            made.append(str(Path(folder, f"{to or name}.o")))
            _call([*compiler, *FLAGS, *options, "-c", str(sources / f"{name}.c"), "-o", made[-1]])

        compiled("statistics", *BASELINE, to="baseline")
        if intel:
            compiled("statistics", *AVX2, to="avx2")
        for name in ("look", "board", "ledger", "pulse", "module"):
            compiled(name, include, *(("-DEQUIPOISE_AVX2",) if intel else ()))
        whole = Path(folder, target.name)
        loose = ("-undefined", "dynamic_lookup") if platform.system() == "Darwin" else ()
        _call([*compiler, "-shared", *loose, *made, "-o", str(whole), "-lm"])
        beside = target.with_name(f".{target.name}.new")
        beside.write_bytes(whole.read_bytes())
        beside.replace(target)  # atomic: a process that has the old one loaded keeps it


def _call(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)

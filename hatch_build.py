"""Builds the native kernels where there is a C compiler; without one the package does its work in torch."""

import os
import platform
import shlex
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Of every extension module: folder, name, the sources that are compiled once per instruction set, and the others.
MODULES = (
    ("src/equipoise/vitals", "_kernel", ("statistics",), ("look", "board", "ledger", "pulse", "module")),
    ("src/equipoise/fit", "_steps", ("steps", "../../vitals/native/statistics"), ("module",)),
)
# No fast-math: values that are not finite must be seen. Nobody reads errno or traps.
FLAGS = ("-O3", "-fPIC", "-std=c11", "-fvisibility=hidden", "-fno-math-errno", "-fno-trapping-math")
# Every instruction set is a variant of its own, chosen when the kernel is loaded, so that a wheel runs anywhere.
BASELINE = ("-DBYTES=16",)
AVX2 = ("-mavx2", "-mfma", "-ffp-contract=fast", "-DBYTES=32")


class KernelBuildHook(BuildHookInterface):
    """Compiles `native/*.c` of each room to an extension module."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the kernels, or say why one is missing and go on."""
        del version
        for folder, name, varied, others in MODULES:
            suffix = sysconfig.get_config_var("EXT_SUFFIX") or ".so"
            target = Path(self.root, folder, f"{name}{suffix}")
            try:
                _build(Path(self.root, folder, "native"), target, varied, others)
            except (OSError, subprocess.CalledProcessError) as problem:
                said = getattr(problem, "stderr", None) or str(problem)
                self.app.display_warning(f"{folder}/{name} was not built; torch is used instead. {said[-2000:]}")
                continue
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            build_data["artifacts"].append(f"/{target.relative_to(self.root).as_posix()}")


def _build(sources: Path, target: Path, varied: tuple[str, ...], others: tuple[str, ...]) -> None:
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    intel = platform.machine().lower() in ("x86_64", "amd64")
    include = f"-I{sysconfig.get_paths()['include']}"
    with tempfile.TemporaryDirectory() as folder:
        made: list[str] = []

        def compiled(name: str, *options: str) -> None:
            made.append(str(Path(folder, f"{len(made)}.o")))
            _call([*compiler, *FLAGS, *options, "-c", str(sources / f"{name}.c"), "-o", made[-1]])

        for name in varied:
            compiled(name, *BASELINE, f"-DVARIANT={Path(name).name}_baseline")
            if intel:
                compiled(name, *AVX2, f"-DVARIANT={Path(name).name}_avx2")
        for name in others:
            compiled(name, include, *(("-DEQUIPOISE_AVX2",) if intel else ()))
        whole = Path(folder, target.name)
        loose = ("-undefined", "dynamic_lookup") if platform.system() == "Darwin" else ()
        _call([*compiler, "-shared", *loose, *made, "-o", str(whole), "-lm"])
        beside = target.with_name(f".{target.name}.new")
        beside.write_bytes(whole.read_bytes())
        beside.replace(target)  # atomic: a process that has the old one loaded keeps it


def _call(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)

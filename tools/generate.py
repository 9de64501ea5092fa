"""Generates dsync/wire/gen from proto/; with --check, only says whether what is committed is fresh.

The imports of generated Python follow the files' paths, so the proto files are compiled from a copy that lies where the package
lies (dsync/wire/gen/...): the output is one sealed package in which nothing is rewritten.
"""

import filecmp
import re
import shutil
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

TOP = Path(__file__).resolve().parent.parent
PACKAGE = Path("dsync/wire/gen")
OWN_IMPORT = re.compile(r'^import "((?:adiom|dsync)/)', re.MULTILINE)


def compile_into(out: Path) -> None:
    """Writes the package below `out`."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        files = [place_copy(root, path) for path in sorted((TOP / "proto").rglob("*.proto"))]
        well_known = Path(grpc_tools.__file__).parent / "_proto"
        outputs = [f"--{kind}_out={out}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
        if protoc.main(["protoc", f"-I{root}", f"-I{well_known}", *outputs, *map(str, files)]):
            sys.exit("protoc failed")
    for folder in {path.parent for path in (out / PACKAGE).rglob("*.py")} | {out / PACKAGE}:
        for level in [folder, *folder.relative_to(out / PACKAGE).parents]:
            (out / PACKAGE / level / "__init__.py").touch()


def place_copy(root: Path, path: Path) -> Path:
    """A copy of a proto file at its place in the package, with its own imports pointed there."""
    copy = root / PACKAGE / path.relative_to(TOP / "proto")
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(OWN_IMPORT.sub(rf'import "{PACKAGE}/\1', path.read_text()))
    return copy


def differs(fresh: Path, committed: Path) -> bool:
    """Whether the trees differ in a file's name or bytes."""

    def names(root: Path) -> list[Path]:
        return sorted(p.relative_to(root) for p in root.rglob("*.py*") if p.suffix in (".py", ".pyi"))

    return names(fresh) != names(committed) or any(
        not filecmp.cmp(fresh / name, committed / name, shallow=False) for name in names(fresh)
    )


def main() -> None:
    """Generates, or checks."""
    with tempfile.TemporaryDirectory() as scratch:
        compile_into(Path(scratch))
        fresh, committed = Path(scratch) / PACKAGE, TOP / PACKAGE
        if "--check" in sys.argv:
            sys.exit("dsync/wire/gen is not fresh; run `make proto`" if differs(fresh, committed) else 0)
        shutil.rmtree(committed, ignore_errors=True)
        shutil.copytree(fresh, committed)


if __name__ == "__main__":
    main()

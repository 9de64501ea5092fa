"""`make demo`: the real command on the files of test_data, with what came of it; MongoDB too where a mongod is found.

Everything lands in demo-out/, which is made anew. Ends with status 1 when a result is not what it should be.
"""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.kit import documents, mongod, oracle, process

TOP = Path(__file__).resolve().parent.parent
DATA = TOP / "test_data"
OUT = TOP / "demo-out"
SHOWN_LINES = 3


def say(text: str) -> None:
    """A heading."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def dsync(*arguments: str) -> None:
    """Shows the command, then runs it; its failure ends the demo."""
    shown = " ".join(f"'{word}'" if set(word) & set(" ?&") else word for word in arguments)
    print(f"\n$ dsync {shown}", flush=True)
    environment = os.environ | {"XDG_STATE_HOME": str(OUT / "state")}
    command = [sys.executable, "-m", "dsync", *arguments]
    status = subprocess.run(command, cwd=OUT, env=environment, stdin=subprocess.DEVNULL, check=False).returncode
    if status:
        sys.exit(f"the demo failed: exit status {status}")


def show(name: str, lines: int = SHOWN_LINES) -> None:
    """The beginning of a text file."""
    print(f"\n$ head -n {lines} {name}")
    with (OUT / name).open(encoding="utf-8") as text:
        sys.stdout.writelines(itertools.islice(text, lines))
    sys.stdout.flush()


def expect(truth: bool, claim: str) -> None:
    """Says what holds; ends the demo when it does not."""
    if not truth:
        sys.exit(f"the demo failed: not so: {claim}")
    print(f"\n✓ {claim}", flush=True)


def files() -> None:
    """CSV, JSON lines, BSON, a JSON array, compressed and plain, into each other."""
    say("A CSV file as JSON lines")
    dsync("people.csv", "people.jsonl")
    show("people.jsonl")

    say("Every type there is: Extended JSON to BSON and back")
    dsync("products.jsonl", "products.bson")
    dsync("products.bson", "back.jsonl")
    dsync("back.jsonl", "again.bson")
    show("back.jsonl", 2)
    once, twice = (OUT / "products.bson").read_bytes(), (OUT / "again.bson").read_bytes()
    expect(once == twice, "both BSON files are the same, byte for byte")
    texts = [documents.canonical(documents.parse(line)) for line in (OUT / "products.jsonl").open(encoding="utf-8")]
    expect(texts == [documents.canonical(each) for each in oracle.documents(once)], "and every type and value was kept")

    say("BSON to a compressed CSV that can be read back")
    dsync("orders.bson", "orders.csv.gz", "--types", "ejson")
    dsync("orders.csv.gz", "--types", "ejson", "orders-back.bson")
    orders = [oracle.bson_side(OUT / name, namespace="orders") for name in ("orders.bson", "orders-back.bson")]
    report = oracle.compare(*orders)
    expect(report.equal, f"{report.left} orders went out and came back as they were, field order included")


def mongodb() -> None:
    """A file into MongoDB, and a whole database into a folder."""
    try:
        with mongod.replica_set() as uri:
            say("Into MongoDB and out again")
            database = uri.replace("/?", "/demo?")
            for name in ("people.csv", "products.jsonl", "orders.bson"):
                dsync(name, database)
            dsync(database, "dump/", "--format", "bson")
            report = oracle.compare(oracle.mongo_side(uri, "demo"), oracle.bson_side(OUT / "dump" / "demo"))
            expect(report.equal, f"{report.left} documents of 3 collections, byte for byte the same in the folder")
    except process.MissingServerError as error:
        say(f"MongoDB is left out: {error}")


def main() -> None:
    """The whole demo."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    for name in ("people.csv", "products.jsonl", "orders.bson"):
        shutil.copy(DATA / name, OUT)
    files()
    mongodb()
    say("All done; the results are in demo-out/")


if __name__ == "__main__":
    main()

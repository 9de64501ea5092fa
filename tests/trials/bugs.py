"""Planted bugs: one promised behaviour broken each, by a small change to the code, with the tests that have to notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    """What is broken, where, how, and which tests are run; the text to change stands once in its file."""

    broken: str
    file: str
    before: str
    after: str
    tests: str


BUGS = (
    # telling the truth
    Bug(
        "a failed partition fails the run",
        "dsync/flow/copy.py",
        "        if self.errors:\n            raise decisive(self.errors)\n",
        "",
        "tests/engine/test_copy.py",
    ),
    Bug(
        "of several failures the decisive one counts",
        "dsync/errors.py",
        "PRECEDENCE = (7, 1, 2, 8, 3, 5, 4, 6)",
        "PRECEDENCE = (5, 3, 1, 7, 2, 8, 4, 6)",
        "tests/engine/test_errors.py",
    ),
    Bug(
        "an endpoint that fails after the first write is a temporary failure",
        "dsync/cli/copy.py",
        "if (tracker.documents or tracker.updates) and isinstance(error, EndpointError | TransientError):",
        "if False:",
        "tests/cli/test_runner.py",
    ),
    Bug(
        "duplicate ids are noticed after a first copy",
        "dsync/flow/targets.py",
        "        if metadata.count_unknown or metadata.count >= documents or",
        "        if True or metadata.count_unknown or metadata.count >= documents or",
        "tests/engine/test_copy.py",
    ),
    # plans
    Bug(
        "two namespaces never become one unasked",
        "dsync/flow/plan.py",
        "        if source != planned.partition.namespace:\n",
        "        if False:\n",
        "tests/engine",
    ),
    Bug(
        "data is never copied onto itself",
        "dsync/flow/plan.py",
        "        if origin and origin.identity and origin.identity == found[planned.destination].identity:",
        "        if False:",
        "tests/engine tests/mongo/test_plan.py",
    ),
    Bug(
        "what another flow wrote is not overwritten",
        "dsync/flow/plan.py",
        "        elif not keyed and not overwrite:",
        "        elif False:",
        "tests/engine tests/file/test_sink.py",
    ),
    Bug(
        "a destination made anew under a flow is noticed",
        "dsync/flow/plan.py",
        "found[name].identity != identity and found[name].flow != flow.id:",
        "False:",
        "tests/engine",
    ),
    # streams
    Bug(
        "--max-delete stops before it deletes",
        "dsync/flow/stream.py",
        "        if most is not None and self._deleted > most:",
        "        if False:",
        "tests/engine/test_stream.py",
    ),
    Bug(
        "the newest update of an id wins",
        "dsync/flow/updates.py",
        "            by_id.pop(key, None)\n            by_id[key] = [update]",
        "            by_id.setdefault(key, [update])",
        "tests/engine/test_stream.py tests/simulation/test_core.py",
    ),
    Bug(
        "a position that the source has lost is a gap",
        "connectors/mongo/errors.py",
        "HISTORY_LOST = frozenset({136, 280, 286})",
        "HISTORY_LOST: frozenset[int] = frozenset()",
        "tests/mongo/test_errors.py tests/mongo/test_stream.py",
    ),
    # state
    Bug(
        "a changed row of the state is damage",
        "dsync/state/sqlite.py",
        "    if known != digest(*parts):",
        "    if False:",
        "tests/state/test_damage.py",
    ),
    Bug(
        "a cut-off state is no new one",
        "dsync/state/sqlite.py",
        "            if size or self._lock_folder.exists():",
        "            if False:",
        "tests/state/test_damage.py",
    ),
    Bug(
        "a state of a newer layout is refused",
        "dsync/state/sqlite.py",
        "        if version > VERSION:",
        "        if False:",
        "tests/state/test_sqlite.py",
    ),
    Bug(
        "a migration happens wholly or not at all",
        "dsync/state/sqlite.py",
        '            self._execute("begin immediate")\n',
        '            self._execute("select 1")\n',
        "tests/state/test_migration.py",
    ),
    Bug(
        "the state is readable by its owner alone",
        "dsync/state/sqlite.py",
        "if found.st_mode & 0o077 and",
        "if False and",
        "tests/state/test_damage.py",
    ),
    Bug(
        "one run holds a flow at a time",
        "dsync/state/sqlite.py",
        "            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "            fcntl.flock(lock, fcntl.LOCK_UN)",
        "tests/state/test_sqlite.py",
    ),
    Bug(
        "who lost the lease commits nothing",
        "dsync/state/mongo.py",
        "                if not touched.matched_count:",
        "                if False:",
        "tests/state/test_mongo.py",
    ),
    Bug(
        "who may have lost the lease sends nothing",
        "dsync/wrap/fence.py",
        "        if end is not None and time.monotonic() >= end:",
        "        if False:",
        "tests/state/test_mongo.py",
    ),
    # MongoDB
    Bug(
        "weaker writes than majority are refused",
        "connectors/mongo/address.py",
        'weak = "w" in concern and concern["w"] != "majority"',
        "weak = False",
        "tests/mongo/test_address.py",
    ),
    Bug(
        "an answer with a write concern's error is no success",
        "connectors/mongo/collection.py",
        "        raise mapped\n",
        "        return\n",
        "tests/mongo/test_write.py tests/mongo/test_errors.py",
    ),
    Bug(
        "Timestamp(0, 0) is kept",
        "connectors/mongo/collection.py",
        "return kind == raw.TIMESTAMP and not any(value)",
        "return False and not any(value)",
        "tests/mongo/test_write.py",
    ),
    Bug(
        "ids are compared by type and value",
        "dsync/codec/raw.py",
        "    return (STRING if kind == SYMBOL else kind), value\n",
        "    return 0, value\n",
        "tests/codec/test_raw.py",
    ),
    Bug(
        "a document whose _id is MaxKey comes over",
        "connectors/mongo/reading.py",
        "        if rule.upper or (scan.pending",
        "        if True or rule.upper or (scan.pending",
        "tests/mongo/test_read.py",
    ),
    # files
    Bug(
        "a file's contents are synced before it is renamed",
        "connectors/file/durable.py",
        '    getattr(os, "fdatasync", os.fsync)(descriptor)',
        '    getattr(os, "fdatasync", os.fsync)',
        "tests/file/test_kills.py tests/file/test_sink.py",
    ),
    Bug(
        "cursors do not lead out of the root",
        "connectors/file/tree.py",
        'if any(part in ("", ".", "..") or',
        'if any(part in ("",) or',
        "tests/file/test_tree.py",
    ),
    # S3
    Bug(
        "a missing batch is noticed before a namespace is published",
        "connectors/s3/sink.py",
        "            if name not in there:\n",
        "            if False:\n",
        "tests/s3/test_sink.py",
    ),
    # security
    Bug(
        "credentials are not shown",
        "dsync/redact.py",
        'CREDENTIALS.sub("***@", uri)',
        "uri",
        "tests/cli/test_commands.py",
    ),
    Bug(
        "serve asks who is there beyond loopback",
        "dsync/cli/serve.py",
        'if not _is_loopback(host) and not (values["cert_file"]',
        'if False and not (values["cert_file"]',
        "tests/wire tests/e2e/test_endings.py",
    ),
    # verification
    Bug(
        "changed documents are found",
        "dsync/flow/verify_recheck.py",
        'if kind is None or (kind == "extra" and self.ignore_extra):',
        'if kind is None or kind == "changed" or (kind == "extra" and self.ignore_extra):',
        "tests/verify/test_verify.py",
    ),
    Bug(
        "the order of fields counts unless asked otherwise",
        "dsync/flow/digest.py",
        "return sorted_fields(document) if self.ignore_field_order else id_first(document)",
        "return sorted_fields(document)",
        "tests/verify/test_verify.py tests/verify/test_digest.py",
    ),
    Bug(
        "a repair deletes no more than it may",
        "dsync/flow/repair.py",
        "if counted and most is not None and self._deleted + len(differences) > most:",
        "if False:",
        "tests/verify/test_repair.py",
    ),
    Bug(
        "sides that are read abreast are compared to the last byte",
        "dsync/flow/verify_abreast.py",
        "if one.rest == other.rest:",
        "if len(one.rest) == len(other.rest):",
        "tests/verify/test_abreast.py",
    ),
    Bug(
        "a collection is not cut where its own order is another",
        "connectors/mongo/alignment.py",
        "if not is_ascending(bounds) or (has_text(bounds) and await _is_collated(deployment, ours[0].namespace)):",
        "if False:",
        "tests/mongo/test_alignment.py",
    ),
    # ends
    Bug(
        "the second signal leaves at once",
        "dsync/cli/runner.py",
        "        if self.signal_number or self._loop.is_closed():",
        "        if self._loop.is_closed():",
        "tests/cli/test_commands.py",
    ),
    Bug(
        "messages that nobody reads do not end a run",
        "dsync/cli/__init__.py",
        "    keep_speaking()\n",
        "    keep_speaking\n",
        "tests/cli/test_runner.py",
    ),
    Bug(
        "tasks are cancelled until they end",
        "dsync/cancel.py",
        "    while pending:\n",
        "    if pending:\n",
        "tests/engine/test_cancel.py",
    ),
)

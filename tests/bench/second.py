"""Times the analyses of two crashes of one build, by the worker as the daemon runs it:
   second.py WORKER REPORT CORE
REPORT is a report of the core: it says which files to hand over. The first analysis is timed with
files read from the disk and from memory; then its questions are answered, and the second analysis
is handed the answers. Both must be the same."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 5
FIRST_FD = 3


def run(verb, manifest, paths):
    """The worker's last answer, and how long it took in seconds."""
    files = [os.open(path, os.O_RDONLY) for path in paths]

    def place():
        # Above all targets first, so that none is overwritten before it is moved.
        high = [os.dup2(fd, 512 + index) for index, fd in enumerate(files)]
        for index, fd in enumerate(high):
            os.dup2(fd, FIRST_FD + index)

    started = time.perf_counter()
    worker = subprocess.run(
        [WORKER, verb, "--memory", str(1 << 30), "--seconds", "60"],
        input=json.dumps(manifest).encode(),
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=place,
        close_fds=False,
    )
    took = time.perf_counter() - started
    for fd in files:
        os.close(fd)
    return took, json.loads(worker.stdout.split(b"\x1e")[-1])


def median(verb, manifest, paths, prepare=lambda: None):
    times = []
    for _ in range(ROUNDS):
        prepare()
        took, answer = run(verb, manifest, paths)
        times.append(took)
    return statistics.median(times), answer


def from_the_disk():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as drop:
        drop.write("3")


WORKER, report, core = sys.argv[1:]
report = json.load(open(report))
modules = [module for module in report["modules"] if os.path.exists(module["path"])]
paths = [core]
manifest = {"core_fd": FIRST_FD, "process": report["process"], "modules": [], "debug_files": []}
for module in modules:
    entry = {key: module[key] for key in ("path", "build_id")}
    entry |= {key: int(module[key], 16) for key in ("base", "end")}
    manifest["modules"].append(entry | {"fd": FIRST_FD + len(paths), "is_remembered": True})
    paths.append(module["path"])
for build_id in [module["build_id"] for module in modules if module["build_id"]]:
    debug = f"/usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug"
    if os.path.exists(debug):
        manifest["debug_files"].append(
            {"build_id": build_id, "fd": FIRST_FD + len(paths), "source": "captured"}
        )
        paths.append(debug)

cold, _ = median("worker", manifest, paths, from_the_disk)
warm, first = median("worker", manifest, paths)
asked = {module["base"]: module["questions"] for module in first["asked"]}
questions = [entry | {"questions": asked.get(entry["base"])} for entry in manifest["modules"]]
_, answers = run("names", manifest | {"core_fd": None, "modules": questions}, paths)
with tempfile.TemporaryDirectory() as directory:
    later, all_paths = [], list(paths)
    for index, (entry, known) in enumerate(zip(manifest["modules"], answers)):
        if known is not None:
            path = f"{directory}/{index}"
            json.dump(known, open(path, "w"))
            entry = entry | {"known_fd": FIRST_FD + len(all_paths)}
            all_paths.append(path)
        later.append(entry)
    again, second = median("worker", manifest | {"modules": later}, all_paths)
assert second["report"] == first["report"], "the reports differ"
assert "asked" not in second, "the second analysis asked again"
print(
    f"second crash       {again:.3f} s: {again / cold:.2f} of the first ({cold:.2f} s, from the disk),"
    f" {again / warm:.2f} with its files in memory ({warm:.2f} s)"
)

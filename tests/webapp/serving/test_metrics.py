"""The metrics of several processes, as Prometheus reads them from one."""

from __future__ import annotations

import os
import subprocess
import sys

from deploy.local.process import free_port
from tests.waiting import PATIENCE

PROGRAM = """
import os, sys, urllib.request
from store import metrics
metrics.share()
for _ in range(2):
    child = os.fork()
    if not child:
        from webapp.serving.metrics import request_metrics
        counted = request_metrics()
        counted.answered("api/runs/", "GET", 200, 0.02)
        counted.answered("", "BREW", 404, 0.02)
        counted.refused(408)
        counted.lane("pages", 3)
        os._exit(0)
    os.waitpid(child, 0)
port = int(sys.argv[1])
metrics.serve("127.0.0.1", port)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(opener.open(f"http://127.0.0.1:{port}/metrics").read().decode())
folder = os.environ[metrics.FOLDER]
metrics.forget()
print(os.path.exists(folder))
"""


def test_the_counts_of_all_processes_are_added() -> None:
    line = [sys.executable, "-c", PROGRAM, str(free_port())]
    done = subprocess.run(line, env=os.environ, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert 'warmboard_request_seconds_count{method="GET",route="api/runs/",status="200"} 2.0' in lines
    assert 'warmboard_request_seconds_bucket{le="0.025",method="GET",route="api/runs/",status="200"} 2.0' in lines
    assert 'warmboard_request_seconds_count{method="other",route="unknown",status="404"} 2.0' in lines
    assert 'warmboard_requests_refused_total{status="408"} 2.0' in lines
    assert not [line for line in lines if line.startswith("warmboard_requests_unfinished{")], "they have ended"
    assert lines[-1] == "False", "the files are gone"

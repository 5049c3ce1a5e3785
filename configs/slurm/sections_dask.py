"""Workers for `cytomesh ... --scheduler-file FILE`, as Slurm jobs of dask-jobqueue (`pip install dask-jobqueue`).

Usage, from the environment that cytomesh is installed in, on a node that may submit jobs and run for long:
    python sections_dask.py scheduler.json 64 &     (up to 64 jobs, ended when idle; Ctrl-C ends all)
    cytomesh images convert study.yaml --out copies --scheduler-file scheduler.json
"""

import json
import sys
import time
from pathlib import Path

from dask_jobqueue import SLURMCluster

if __name__ == "__main__":
    file, n_jobs = Path(sys.argv[1]), int(sys.argv[2])
    # one thread per process: as many sections at once as cores, each with its share of the memory
    cluster = SLURMCluster(
        cores=16,
        processes=16,
        memory="64GB",
        walltime="12:00:00",
        # of your cluster: queue is Slurm's partition; the other line stands in each job before its worker
        # queue="PARTITION", account="ACCOUNT",
        # job_script_prologue=["source ~/cytomesh-env/bin/activate"],
        # a worker ends by itself before Slurm ends it; what it was at is done again elsewhere
        worker_extra_args=["--lifetime", "11h", "--lifetime-stagger", "30m"],
        job_name="cytomesh-sections",
        scheduler_options={"dashboard_address": ":0"},
    )
    cluster.adapt(minimum_jobs=1, maximum_jobs=n_jobs)
    file.write_text(json.dumps({"address": cluster.scheduler_address}))
    try:
        while True:
            time.sleep(60)
    finally:
        file.unlink()
        cluster.close()

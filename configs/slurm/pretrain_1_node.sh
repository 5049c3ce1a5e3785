#!/bin/bash
# One node, 4 GPUs. Pre-empted or out of time, the job writes a checkpoint and queues itself again.
# Usage: sbatch configs/slurm/pretrain_1_node.sh RUN
#SBATCH --job-name=cytomesh-pretrain
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=48
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@180
set -u
RUN=$1
NAME=spatialnce_vit

# torchrun passes SIGTERM on to its ranks; each finishes its step, and the first writes the checkpoint.
stopped=0
trap 'stopped=1; kill -TERM "$job"' TERM
torchrun --standalone --nproc-per-node 4 --max-restarts 3 -m cytomesh pretrain --quiet \
  --out "$RUN" --name "$NAME" --config configs/pretrain/spatialnce_vit.yaml &
job=$!
wait "$job"; code=$?
[ "$stopped" = 1 ] && { wait "$job"; code=75; }

# 75: stopped after a checkpoint (a single process says so itself; torchrun hides its ranks' exit codes).
if [ "$code" = 75 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"

#!/bin/bash
# 16 nodes with 4 GPUs each; nodes that are lost are left out, down to 8, and those that come back join. Pre-empted or out of time, the job writes a checkpoint and queues itself again.
# Usage: sbatch configs/slurm/pretrain_16_nodes.sh RUN      (RUN on a file system that all nodes share)
#SBATCH --job-name=cytomesh-pretrain
#SBATCH --nodes=16
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=48
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --no-kill
#SBATCH --signal=B:TERM@300
set -u
RUN=$1
NAME=spatialnce_resnet50
FIRST=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

# srun passes SIGTERM on to torchrun on every node, torchrun to its ranks, which agree on the step to stop at.
stopped=0
trap 'stopped=1; scancel --signal=TERM "$SLURM_JOB_ID.0"' TERM
# Ranks of one attempt have a store of their own: nodes that join count other attempts.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
srun --no-kill --kill-on-bad-exit=0 torchrun --nnodes "8:$SLURM_NNODES" --nproc-per-node 4 --max-restarts 3 --rdzv-backend c10d --rdzv-endpoint "$FIRST:29500" \
  --rdzv-id "$SLURM_JOB_ID" -m cytomesh pretrain --quiet \
  --out "$RUN" --name "$NAME" --config configs/pretrain/spatialnce_resnet50.yaml &
job=$!
wait "$job"; code=$?
[ "$stopped" = 1 ] && { wait "$job"; code=75; }

# 75: stopped after a checkpoint (a single process says so itself; torchrun hides its ranks' exit codes).
if [ "$code" = 75 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"

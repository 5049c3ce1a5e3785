#!/bin/bash
# 16 nodes with 4 GPUs each; nodes that are lost are left out, down to 8, and those that come back join. Pre-empted or out of time, the job writes a checkpoint and queues itself again.
# Usage: sbatch pretrain_16_nodes.sh RUN [--set KEY=VALUE ...]      (RUN on a file system that all nodes share)
#SBATCH --job-name=cytomesh-pretrain
#SBATCH --nodes=16
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=48
#SBATCH --mem=240G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --no-kill
#SBATCH --signal=B:TERM@300
# Lines to edit, without the first #: those of your cluster (`sinfo` lists partitions, `sacctmgr show associations` accounts) ...
##SBATCH --account=ACCOUNT
##SBATCH --partition=PARTITION
# ... and what makes cytomesh known to the job: an environment, or Apptainer's image; --bind names folders besides your home.
#module load python
#source ~/cytomesh-env/bin/activate
CONTAINER=""
#CONTAINER="apptainer exec --nv --bind /data /data/cytomesh.sif"
set -u
RUN=$1
shift
# A preset or a file, the same for patches_export.sh. GPUs of a node: here and in --gpus-per-node. Fewest nodes to go on with.
CONFIG=spatialnce_resnet50
NAME=spatialnce_resnet50
GPUS=4
FEWEST=8
# Every job has a port of its own: two whose first node is the same would meet there.
PORT=$((20000 + SLURM_JOB_ID % 10000))
FIRST=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

# srun passes SIGTERM on to torchrun on every node, torchrun to its ranks, which agree on the step to stop at.
stopped=0
trap 'stopped=1; scancel --signal=TERM "$SLURM_JOB_ID.0"' TERM
# Ranks of one attempt have a store of their own: nodes that join count other attempts.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
srun --no-kill --kill-on-bad-exit=0 $CONTAINER torchrun --nnodes "$FEWEST:$SLURM_NNODES" --nproc-per-node "$GPUS" --max-restarts 3 \
  --rdzv-backend c10d --rdzv-endpoint "$FIRST:$PORT" --rdzv-id "$SLURM_JOB_ID" -m cytomesh pretrain --quiet \
  --out "$RUN" --name "$NAME" --config "$CONFIG" "$@" &
job=$!
wait "$job"; code=$?
[ "$stopped" = 1 ] && { wait "$job"; code=75; }

# 75: stopped after a checkpoint (a single process says so itself; torchrun hides its ranks' exit codes).
if [ "$code" = 75 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"

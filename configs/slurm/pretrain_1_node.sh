#!/bin/bash
# One node, 4 GPUs. Pre-empted or out of time, the job writes a checkpoint and queues itself again.
# Usage: sbatch pretrain_1_node.sh RUN [--set KEY=VALUE ...]      (RUN on a file system that the node sees)
#SBATCH --job-name=cytomesh-pretrain
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=48
#SBATCH --mem=240G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@180
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
# A preset or a file, the same for patches_export.sh. GPUs: here and in --gpus-per-node.
CONFIG=spatialnce_vit
NAME=spatialnce_vit
GPUS=4

# torchrun passes SIGTERM on to its ranks; each finishes its step, and the first writes the checkpoint.
stopped=0
trap 'stopped=1; kill -TERM "$job"' TERM
$CONTAINER torchrun --standalone --nproc-per-node "$GPUS" --max-restarts 3 -m cytomesh pretrain --quiet \
  --out "$RUN" --name "$NAME" --config "$CONFIG" "$@" &
job=$!
wait "$job"; code=$?
[ "$stopped" = 1 ] && { wait "$job"; code=75; }

# 75: stopped after a checkpoint (a single process says so itself; torchrun hides its ranks' exit codes).
if [ "$code" = 75 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"

#!/bin/bash
# Features of all nodes, on one node with 4 GPUs. Out of time, submit it again: it goes on.
# Usage: sbatch embed_1_node.sh RUN --encoder spatialnce_vit
#SBATCH --job-name=cytomesh-embed
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=48
#SBATCH --mem=240G
#SBATCH --time=12:00:00
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
GPUS=4

$CONTAINER torchrun --standalone --nproc-per-node "$GPUS" -m cytomesh embed --quiet --out "$RUN" "$@"

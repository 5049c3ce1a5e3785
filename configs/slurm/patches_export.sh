#!/bin/bash
# Patches out of images, on the CPUs of one node, before GPUs wait for them. Out of time, submit it again: it goes on.
# Usage: sbatch patches_export.sh RUN [--set KEY=VALUE ...]
#SBATCH --job-name=cytomesh-patches
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --mem=64G
#SBATCH --time=12:00:00
# Lines to edit, without the first #: those of your cluster (`sinfo` lists partitions, `sacctmgr show associations` accounts) ...
##SBATCH --account=ACCOUNT
##SBATCH --partition=PARTITION
# ... and what makes cytomesh known to the job: an environment, or Apptainer's image; --bind names folders besides your home.
#module load python
#source ~/cytomesh-env/bin/activate
CONTAINER=""
#CONTAINER="apptainer exec --bind /data /data/cytomesh.sif"
set -u
RUN=$1
shift
# That of the pretraining: it says which patches.
CONFIG=spatialnce_vit

$CONTAINER cytomesh patches export --quiet --out "$RUN" --config "$CONFIG" "$@"

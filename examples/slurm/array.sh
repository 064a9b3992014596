#!/usr/bin/env bash
# A study over many nodes, one seed a task of an array; each task trains that seed of every row in a folder of its own:
#   sbatch --array=0-4 examples/slurm/array.sh cifar10-cpu
# Then, once all have ended, the results of all in one folder, and their table:
#   levelfield study merge runs/cifar10-cpu/seed-* --into runs/cifar10-cpu/all
#   levelfield report runs/cifar10-cpu/all
# Submit it again after its time is up: what is finished stays, a run that was cut off goes on from its checkpoint.
#SBATCH --job-name=levelfield
#SBATCH --nodes=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=08:00:00
#SBATCH --output=%x-%A-%a.log
#SBATCH --signal=B:TERM@120
# For a GPU a task, add: #SBATCH --gpus=1
set -euo pipefail

study=${1:?name the study, or its file}
seed=${SLURM_ARRAY_TASK_ID:?submit with --array=0-4}
out=${2:-runs/$(basename "$study" .yaml)}/seed-$seed

export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-4}
levelfield study run "$study" --out "$out" --seeds "$seed-$seed" --yes &
job=$!
trap 'kill -TERM "$job"' TERM
wait "$job" || { code=$?; wait "$job" || true; exit "$code"; }

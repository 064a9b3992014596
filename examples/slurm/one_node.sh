#!/usr/bin/env bash
# A whole study on one node, several runs at once, the job's cores shared out among them:
#   sbatch examples/slurm/one_node.sh cifar10-cpu
#   PARALLEL=8 sbatch examples/slurm/one_node.sh my-study.yaml
# Submit it again after its time is up: what is finished stays, a run that was cut off goes on from its checkpoint.
#SBATCH --job-name=levelfield
#SBATCH --nodes=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=32G
#SBATCH --time=04:00:00
#SBATCH --output=%x-%j.log
# SIGTERM two minutes before the end: levelfield then writes a checkpoint and stops.
#SBATCH --signal=B:TERM@120
set -euo pipefail

study=${1:?name the study, or its file}
out=${2:-runs/$(basename "$study" .yaml)}

levelfield study run "$study" --out "$out" --parallel "${PARALLEL:-4}" --yes &
job=$!
trap 'kill -TERM "$job"' TERM
wait "$job" || { code=$?; wait "$job" || true; exit "$code"; }
levelfield study report "$study" --out "$out"

"""ReXNet-tiny on CIFAR-10: optimisers, schedules, augmentation, comparison, compression.

    python benchmarks/gpu/job6_rexnet.py --out FOLDER --minutes 9 --data-dir DATA --parallel 4

Trains what results/rexnet-cifar10 lacks and fits the time; README.md beside this says the rest. Needs CIFAR-10.
"""

from campaign import main

STUDY = "rexnet-cifar10"
ROWS = ["*"]

if __name__ == "__main__":
    main(__doc__ or "", STUDY, ROWS)

"""The ablation of OutGridViT-14M (its four rows of the same study), 100 epochs on CIFAR-100.

    python benchmarks/gpu/job4_ablation.py --out FOLDER --minutes 9 --data-dir DATA

Trains what results/outgrid-cifar100 lacks and fits the time; README.md beside this says the rest. Needs CIFAR-100.
"""

from campaign import main

STUDY = "outgrid-cifar100"
ROWS = ["outgrid_14m*"]

if __name__ == "__main__":
    main(__doc__ or "", STUDY, ROWS)

"""The published OutGridViT table: 100 epochs on CIFAR-100, seed 0 of every row first, then seeds 1 and 2.

    python benchmarks/gpu/job3_outgrid.py --out FOLDER --minutes 9 --data-dir DATA

Trains what results/outgrid-cifar100 lacks and fits the time; README.md beside this says the rest. Needs CIFAR-100.
"""

from campaign import main

STUDY = "outgrid-cifar100"
ROWS = ["outgrid_7m", "convnext_tiny_*", "deit_*", "efficientnetv2_s_s1", "maxvit_*", "resnet*", "swin_*"]

if __name__ == "__main__":
    main(__doc__ or "", STUDY, ROWS)

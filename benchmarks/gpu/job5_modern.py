"""levelfield's own recipe, modern-100ep: OutGridViT-7M and ResNet-18 on CIFAR-100.

    python benchmarks/gpu/job5_modern.py --out FOLDER --minutes 9 --data-dir DATA

Trains what results/modern-cifar100 lacks and fits the time; README.md beside this says the rest. Needs CIFAR-100.
"""

from campaign import main

STUDY = "modern-cifar100"
ROWS = ["*"]

if __name__ == "__main__":
    main(__doc__ or "", STUDY, ROWS)

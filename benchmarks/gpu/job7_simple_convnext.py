"""The simple ConvNeXt on CIFAR-10 at 64 px, patch sizes 1, 2 and 4, resized and padded.

    python benchmarks/gpu/job7_simple_convnext.py --out FOLDER --minutes 9 --data-dir DATA

Trains what results/simple-convnext lacks and fits the time; README.md beside this says the rest. Needs CIFAR-10.
"""

from campaign import main

STUDY = "simple-convnext"
ROWS = ["convnext_simple_s_*"]

if __name__ == "__main__":
    main(__doc__ or "", STUDY, ROWS)

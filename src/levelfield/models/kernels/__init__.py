"""Fast forms of operators that networks share, a file for each operator, with the choice of form at its top.

A function here is what the networks call. It asks which form may compute and calls that: plain torch (always there),
C++ (`native/`, float32 and bfloat16 on CPUs) or Triton (`*_triton.py`, CUDA), all of one signature. `norm_silu`
is the exception: its plain form is the calls of the modules that it is given, and its C++ form also returns the mean
that the gate after it needs. C++ forms that map tensors to a tensor are operators of torch (`torch.library.custom_op`,
with fake and autograd registrations), and `torch.compile` sees each as one; those with optional gradients, or that move
running statistics, are `autograd.Function`s, in whose place a compiled network has the plain form. An exported program
(`torch.export`, ONNX) has plain forms alone, so that it can be loaded without levelfield.
"""

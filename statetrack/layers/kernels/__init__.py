"""Triton kernels of the layers, imported when they are first launched."""

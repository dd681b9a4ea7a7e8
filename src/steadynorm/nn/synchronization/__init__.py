"""Batch normalization whose batch lies on several processes."""

from .layer import SyncBatchNorm

__all__ = ["SyncBatchNorm"]

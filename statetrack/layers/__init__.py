"""What stands between the recurrences of a model, fused: one pass over memory forward, one back.

Every layer is a plain torch twin, the truth, and Triton kernels registered as torch operators.
``backend="auto"`` takes the kernels on a GPU and the twin elsewhere.
"""

from statetrack.layers.bias_add import bias_add as bias_add
from statetrack.layers.bias_gelu import bias_gelu as bias_gelu
from statetrack.layers.cross_entropy import cross_entropy as cross_entropy
from statetrack.layers.embedding import embedding as embedding
from statetrack.layers.linear import linear as linear
from statetrack.layers.mlp import mlp as mlp
from statetrack.layers.rms_norm import add_rms_norm as add_rms_norm
from statetrack.layers.rms_norm import rms_norm as rms_norm
from statetrack.layers.scaled_sigmoid import scaled_sigmoid as scaled_sigmoid
from statetrack.layers.unit_norm import unit_norm as unit_norm

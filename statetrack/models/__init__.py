"""Sequence models: one file a family, one backbone, one registry.

Importing this package needs torch alone. ``register_model`` adds a family from outside.
"""

from statetrack.models import aaren as _aaren
from statetrack.models import aussm as _aussm
from statetrack.models import block_diagonal as _block_diagonal
from statetrack.models import complex_diagonal as _complex_diagonal
from statetrack.models import dense as _dense
from statetrack.models import diagonal as _diagonal
from statetrack.models import ffn as _ffn
from statetrack.models import gated_householder as _gated_householder
from statetrack.models import gla as _gla
from statetrack.models import gru as _gru
from statetrack.models import hgrn as _hgrn
from statetrack.models import hgrn2 as _hgrn2
from statetrack.models import householder as _householder
from statetrack.models import kda as _kda
from statetrack.models import linear_attention as _linear_attention
from statetrack.models import lru as _lru
from statetrack.models import lstm as _lstm
from statetrack.models import m2rnn as _m2rnn
from statetrack.models import mamba as _mamba
from statetrack.models import mamba3 as _mamba3
from statetrack.models import mlstm as _mlstm
from statetrack.models import mru as _mru
from statetrack.models import mru_attention as _mru_attention
from statetrack.models import permutation_diagonal as _permutation_diagonal
from statetrack.models import retnet as _retnet
from statetrack.models import rg_lru as _rg_lru
from statetrack.models import rnn as _rnn
from statetrack.models import rwkv7 as _rwkv7
from statetrack.models import s4d as _s4d
from statetrack.models import slstm as _slstm
from statetrack.models import transformer as _transformer
from statetrack.models.backbone import Backbone as Backbone
from statetrack.models.checks import ModelCheckError as ModelCheckError
from statetrack.models.checks import check_model as check_model
from statetrack.models.config import build_model as build_model
from statetrack.models.config import list_models as list_models
from statetrack.models.config import model_config as model_config
from statetrack.models.config import model_entry as model_entry
from statetrack.models.config import register_model as register_model
from statetrack.models.loading import load_model as load_model
from statetrack.models.ranges import EigenvalueRange as EigenvalueRange

FAMILIES = (
    _aaren,
    _aussm,
    _block_diagonal,
    _complex_diagonal,
    _dense,
    _diagonal,
    _ffn,
    _gated_householder,
    _gla,
    _gru,
    _hgrn,
    _hgrn2,
    _householder,
    _kda,
    _linear_attention,
    _lru,
    _lstm,
    _m2rnn,
    _mamba,
    _mamba3,
    _mlstm,
    _mru,
    _mru_attention,
    _permutation_diagonal,
    _retnet,
    _rg_lru,
    _rnn,
    _rwkv7,
    _s4d,
    _slstm,
    _transformer,
)

"""Sequence models: one file a family, one backbone, one registry.

Importing this package needs torch alone. ``register_model`` adds a family from outside.
"""

from statetrack.models import diagonal as _diagonal
from statetrack.models import householder as _householder
from statetrack.models import lstm as _lstm
from statetrack.models import mru as _mru
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

FAMILIES = (_diagonal, _householder, _lstm, _mru)

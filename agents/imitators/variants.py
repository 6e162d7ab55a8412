"""Variants of learners that the imitation study compares, by name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, get_args

from robo_adv.agents.imitators.config import ImitatorConfig, LearnerName


@dataclass(frozen=True)
class Variant:
    """A learner with something changed.

    Attributes:
        group: what it is there for. control: of the config. corruption: of the demonstrations.
        disc: changes of the discriminator's config.
    """

    learner: LearnerName
    group: str = "learners"
    control: str = ""
    corruption: str = ""
    disc: dict[str, Any] = field(default_factory=dict)

    def applied(self, config: ImitatorConfig) -> ImitatorConfig:
        """A learner's config with the changes."""
        control: Any = self.control
        return replace(config, control=control, disc=replace(config.disc, **self.disc))


def _regularised(**disc: Any) -> Variant:
    """GAIL with these regularisers of the discriminator and no other."""
    return Variant("gail", "regularisers", disc={"gradient_penalty": 0.0, "entropy": 0.0, **disc})


_NOISE = ("noise", "feature-dropout")
VARIANTS: dict[str, Variant] = {
    **{name: Variant(name) for name in get_args(LearnerName)},
    "gail-null": Variant("gail", "controls", control="null"),
    "gail-shuffled": Variant("gail", "controls", control="shuffled"),
    "bc-shuffled": Variant("bc", "controls", control="shuffled"),
    "none": _regularised(),
    "penalty": _regularised(gradient_penalty=10.0),
    "r1": _regularised(r1=1.0),
    "spectral": _regularised(spectral_norm=True),
    "clipping": _regularised(singular_value_clip=1.0),
    "dropout": _regularised(dropout=0.5, input_dropout=0.1),
    "decay": _regularised(weight_decay=1.0),
    "entropy": _regularised(entropy=0.05),
    "augment": _regularised(augment=_NOISE),
    "mixup": _regularised(loss="mixup"),
    "clipping+augment": _regularised(singular_value_clip=1.0, augment=_NOISE),
    **{
        f"{learner}-{kind}": Variant(learner, "corrupted", corruption=kind)
        for learner in ("bc", "gail")
        for kind in ("noise", "wrong", "mixed")
    },
}  # fmt: skip

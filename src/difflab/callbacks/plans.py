"""What is evaluated how often, out of the configuration."""

from omegaconf import DictConfig

from difflab import assemble
from difflab.callbacks.best import Best
from difflab.callbacks.ema import EmaWeights
from difflab.callbacks.evaluation import Evaluation, Plan
from difflab.errors import DifflabError
from difflab.generation import Generation
from difflab.metrics.suite import Suite
from difflab.tracking import Recorder


def assemble_evaluation(
    cfg: DictConfig, generation: Generation, suite: Suite, ema: EmaWeights, recorder: Recorder
) -> Evaluation:
    """Raises DifflabError for a proxy figure that is none of cfg.figures."""
    c = cfg.callbacks.evaluation
    best = Best(ema, recorder, **cfg.callbacks.best)
    full = Plan("full", generation, cfg.metrics.n, c.full.every_nimg)
    plans = [_proxy(cfg, generation), full] if c.proxy.every_nimg is not None or best.counts("proxy") else [full]
    return Evaluation(suite, plans, ema, recorder, best, c.share, c.seed, cfg.callbacks.samples.batch)


def _proxy(cfg: DictConfig, generation: Generation) -> Plan:
    proxy = cfg.callbacks.evaluation.proxy
    for name in proxy.figures:
        if name not in cfg.figures:
            raise DifflabError(
                f"callbacks.evaluation.proxy.figures names {name}, but figures has {', '.join(cfg.figures)}: name these"
            )
    coarse = (
        assemble.generation(assemble.with_steps(cfg, proxy.steps)).asking(generation.asked).decoding(generation.codec)
    )
    return Plan("proxy", coarse, proxy.n, proxy.every_nimg, tuple(proxy.figures))

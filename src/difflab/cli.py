"""The command `difflab VERB [overrides]`. Nothing heavy is imported before a verb runs."""

import importlib
import json
import re
import sys
import textwrap
from pathlib import Path

from difflab.errors import BusyError, DifflabError
from difflab.files import conf_dir

VERBS = {
    "train": "train a model: difflab train experiment=cifar_cosine train.seed=1",
    "sample": "make pictures with a run: difflab sample from=RUN n=64 seed=0 out=DIR",
    "edit": "use a run on a picture: difflab edit from=RUN task=inpaint image=a.png mask=m.png",
    "evaluate": "score any pictures: difflab evaluate from=RUN, or from=FOLDER data=cifar10",
    "novelty": "is it new? samples beside their nearest training pictures: difflab novelty from=RUN",
    "agreement": "do samples show what they were asked for? difflab agreement from=RUN, with labels or text",
    "likelihood": "bits per dimension of real pictures: difflab likelihood from=RUN split=val",
    "explain": "pictures of what diffusion does: difflab explain schedule=rectified, or from=RUN",
    "export": "a run to give away, without what only training needs: difflab export from=RUN out=DIR",
    "report": "one HTML file about a run, a sweep or several runs: difflab report RUN ... out=FILE.html",
    "compare": "what differs between runs, in settings, code and figures: difflab compare RUN_A RUN_B",
    "dashboard": "the project's W&B workspace as code: difflab dashboard entity=TEAM project=difflab",
    "doctor": "show what a data set would feed: difflab doctor data=folder data.root=DIR",
}
NAME_RUNS = ("report", "compare")  # their words without a key are runs
SWEPT = ("train", "evaluate")  # verbs that take -m
FLAGS = {
    "--help": "this help; after a verb, its settings and their choices",
    "--cfg": "print the composed configuration and stop",
    "--debug": "show the traceback of an error",
    "-m": "a sweep, a job for each combination: difflab train -m schedule=cosine,linear_vp prediction=eps,v",
    "-j": "jobs of a sweep side by side: -j 2",
}


def main(argv: list[str] | None = None) -> int:
    """Run a verb; 0 if it did what it says, else 1 (or 2 for a command that makes no sense)."""
    arguments = ["-m" if a == "--multirun" else a for a in (sys.argv[1:] if argv is None else argv)]
    try:
        at_once, arguments = _side_by_side(arguments)
        flags = {a for a in arguments if a.startswith("-")}
        return _dispatch([a for a in arguments if a not in flags], flags, at_once)
    except KeyboardInterrupt:
        print("difflab: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        if "--debug" in arguments:
            raise
        print(f"difflab: {in_one_line(error)}", file=sys.stderr)
        return BusyError.CODE if isinstance(error, BusyError) else 1


def in_one_line(error: Exception) -> str:
    """What the user reads of an error."""
    if isinstance(error, DifflabError):
        return str(error)
    if isinstance(error, OSError):
        return _os_error(error)
    return (
        " ".join(f"{type(error).__name__}: {error}".split())[:300] + " (not foreseen by difflab; --debug shows where)"
    )


def _side_by_side(arguments: list[str]) -> tuple[int | None, list[str]]:
    """How many jobs of a sweep run at once, `-j N` or `-jN` (None: not said), and the other arguments."""
    at = next((i for i, a in enumerate(arguments) if re.fullmatch(r"-j\d*", a)), None)
    if at is None:
        return None, arguments
    end = at + 1 + (arguments[at] == "-j")
    number = "".join(arguments[at:end])[2:]
    if "-m" not in arguments or not number.isdecimal() or int(number) < 1:
        raise DifflabError("-j says how many jobs of a sweep run side by side: difflab train -m -j 2 ...")
    return int(number), arguments[:at] + arguments[end:]


def _dispatch(words: list[str], flags: set[str], at_once: int | None) -> int:
    unknown = flags - FLAGS.keys() - {"-h"}
    if unknown:
        raise DifflabError(f"{' '.join(sorted(unknown))} is not an option of difflab: it knows {', '.join(FLAGS)}")
    if not words:
        print(_help())
        return 0 if flags & {"--help", "-h"} else 2
    verb, *overrides = words
    if verb not in VERBS:
        from difflab.errors import near

        raise DifflabError(f"'{verb}' is not a verb of difflab{near(verb, VERBS)}: it knows {', '.join(VERBS)}")
    if "-m" in flags and verb not in SWEPT:
        raise DifflabError(f"-m: sweeps are of {', '.join(SWEPT)}, not of {verb}")
    if flags & {"--help", "-h"}:
        print(_settings_help("multirun") if "-m" in flags else f"difflab {VERBS[verb]}\n\n{_settings_help(verb)}")
        return 0
    if "-m" in flags:
        from difflab.sweeps.main import main as sweep

        return sweep(verb, overrides, at_once, show="--cfg" in flags)
    return _run(verb, _runs_named(overrides) if verb in NAME_RUNS else overrides, show="--cfg" in flags)


def _runs_named(words: list[str]) -> list[str]:
    """`A B out=c.html` as the overrides `runs=["A","B"] out=c.html`; a job's folder `jobs/000-nfe=8` is a run."""
    settings = [word for word in words if re.match(r"[A-Za-z_][\w.]*=", word)]
    runs = [word for word in words if word not in settings]
    return [f"runs={json.dumps(runs)}"] * bool(runs) + settings


def _run(verb: str, overrides: list[str], show: bool) -> int:
    from difflab.config.compose import compose
    from difflab.runs.chosen import announce

    cfg = compose(verb, overrides)
    if show:
        from omegaconf import OmegaConf

        print(OmegaConf.to_yaml(cfg, resolve=True), end="")
        return 0
    announce(cfg)
    importlib.import_module(f"difflab.{verb}").main(cfg)
    return 0


def _help() -> str:
    verbs = "\n".join(f"  {verb:<12}{text}" for verb, text in VERBS.items())
    flags = "\n".join(f"  {flag:<12}{text}" for flag, text in FLAGS.items())
    return f"usage: difflab VERB [key=value ...]\n\nverbs:\n{verbs}\n\noptions:\n{flags}"


def _settings_help(verb: str) -> str:
    """The settings file, whose comments explain it, and the choices of every group it names."""
    from difflab.config.tree import groups_of

    text = (conf_dir() / f"{verb}.yaml").read_text()
    lines = [f"{g}: {' '.join(sorted(f.stem for f in (conf_dir() / g).glob('*.yaml')))}" for g in groups_of(verb)]
    choices = "\n".join(textwrap.fill(line, 100, initial_indent="  ", subsequent_indent="      ") for line in lines)
    return f"{text}\nchoices:\n{choices}"


def _os_error(error: OSError) -> str:
    name = f"{error.filename}: " if error.filename else ""
    room = ""
    if error.errno in (27, 28, 122):  # file too large, no space, quota
        room = f" (folder {Path.cwd()}); make room and go on with `difflab train resume=RUN`"
    return f"{name}{error.strerror or error}{room}"


if __name__ == "__main__":
    raise SystemExit(main())

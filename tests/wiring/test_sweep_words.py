"""What a sweep makes of the words of the command line."""

import pytest

from difflab.cli import main
from difflab.errors import DifflabError
from difflab.sweeps.expand import expand, parse, swept_keys
from difflab.sweeps.folder import label
from difflab.sweeps.plan import plan
from difflab.sweeps.settings import compose_settings

Capture = pytest.CaptureFixture[str]


def jobs(*words: str) -> list[str]:
    return [" ".join(job.all) for job in expand(parse(words))]


def test_jobs_are_the_product_in_hydras_order() -> None:
    assert jobs("experiment=smoke", "schedule=cosine,ve", "train.seed=range(0,2)") == [
        "experiment=smoke schedule=cosine train.seed=0",
        "experiment=smoke schedule=cosine train.seed=1",
        "experiment=smoke schedule=ve train.seed=0",
        "experiment=smoke schedule=ve train.seed=1",
    ]
    assert [job.swept for job in expand(parse(["train.seed=3", "a=1", "prediction=choice(eps,v)"]))] == [
        {"prediction": "eps"},
        {"prediction": "v"},
    ]


def test_glob_names_the_options_of_its_group() -> None:
    assert jobs("prediction=glob(v*)") == ["prediction=v", "prediction=v_unit"]


def test_later_word_takes_the_place_of_an_earlier() -> None:
    words = ["schedule=cosine,ve", "train.seed=1,2", "schedule=cosine"]
    assert jobs(*words) == ["schedule=cosine train.seed=1", "schedule=cosine train.seed=2"]
    assert swept_keys(parse(words)) == ["train.seed"]


def test_named_sweep_is_overridden_and_extended_on_the_command_line() -> None:
    words = ["sweep=schedules", "schedule=cosine,ve", "experiment=smoke", "train.seed=0,1"]
    sweep, overrides = plan("train", words, compose_settings("train", words))
    first, *others = expand(overrides)
    assert " ".join(first.all) == "times=uniform schedule=cosine experiment=smoke train.seed=0"
    assert len(others) == 3
    assert sweep.label.startswith("schedules-smoke-")
    assert sweep.question == "Which path from picture to noise trains best?"


def test_label_is_the_same_for_the_same_words_wherever_it_lies() -> None:
    words = ["schedule=cosine,ve", "runs=here"]
    assert label("train", None, "smoke", words, ["schedule"]) == label("train", None, "smoke", words[:1], ["schedule"])
    assert label("train", None, "smoke", words, ["schedule"]).startswith("schedule-smoke-")
    assert label("train", None, "smoke", words, []) != label("evaluate", None, "smoke", words, [])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["train", "-m", "sweep=schedule"], "did you mean 'schedules'?"),
        (["train", "-m", "launcher=slurm", "launcher.cpu=3"], "did you mean 'launcher.cpus'?"),
        (["train", "-m", "launcher=slurm", "launcher.cpus=0"], "launcher.cpus=0: it is a whole number, 1 or more"),
        (["train", "-m", "resume=a,b"], "a sweep names the directories of its runs"),
        (["train", "-m", "optim.lr=interval(1e-4,1e-2)"], "add search=optuna"),
        (["train", "-m", "a=[1"], "write key=value"),
        (["train", "-j", "2", "experiment=smoke"], "-j says how many jobs of a sweep"),
        (["train", "-m", "-j", "experiment=smoke"], "-j says how many jobs of a sweep"),
        (["sample", "-m"], "not of sample"),
    ],
)
def test_bad_words_are_refused_in_a_line(words: list[str], says: str, capsys: Capture) -> None:
    assert main(words) == 1
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_cfg_lists_the_jobs(capsys: Capture) -> None:
    assert main(["train", "--multirun", "-j2", "--cfg", "experiment=smoke", "prediction=eps,v"]) == 0
    text = capsys.readouterr().out
    assert text.endswith("experiment=smoke prediction=eps\nexperiment=smoke prediction=v\n")
    assert main(["train", "-m", "--help"]) == 0
    assert "launcher: local slurm" in capsys.readouterr().out


def test_intervals_are_of_a_search() -> None:
    with pytest.raises(DifflabError, match="search=optuna"):
        expand(parse(["optim.lr=interval(0.1,1)"]))

"""Lightning's advertisements and notices that don't concern our users."""

import logging
import warnings


def quiet_lightning() -> None:
    for name in (
        "pytorch_lightning.utilities.rank_zero",
        "pytorch_lightning.accelerators",
        "lightning.fabric",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Our stream has no workers, no validation and no end: all on purpose.
    for message in (".*does not have many workers.*", ".*val_dataloader.*", ".*isinstance.treespec.*"):
        warnings.filterwarnings("ignore", message=message, module="pytorch_lightning")

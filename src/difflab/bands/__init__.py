"""Am I on track? Reference bands of the seeds that were trained here, and where a run lies beside them."""
